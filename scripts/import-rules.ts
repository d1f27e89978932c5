// The table of docs/architecture.md: which folder may import which, and no cycles.
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const MAY_IMPORT: Record<string, readonly string[]> = {
  image: [],
  config: ['image'],
  store: ['image', 'config'],
  sign: ['image', 'config'],
  transport: ['image', 'config', 'store'],
  artifact: ['transport', 'store', 'image', 'config'],
  build: ['transport', 'store', 'image', 'config'],
  registry: ['image', 'store'],
};
const IMPORT =
  /^\s*(?:import|export)\s(?:[^'"]*?\sfrom\s)?['"](\.[^'"]+)['"]|import\(\s*['"](\.[^'"]+)['"]\s*\)/gm;

export interface ImportEdge {
  readonly from: string;
  readonly to: string;
  /** A type-only or dynamic import does not count as a cycle at run time. */
  readonly eager: boolean;
}

export function readImports(): ImportEdge[] {
  const files = globSync(
    '{*.ts,{image,config,store,sign,transport,artifact,registry,build,bin}/**/*.ts}',
  ).filter((file) => !file.includes('node_modules'));
  return files.flatMap((from) => {
    const text = readFileSync(from, 'utf8');
    return [...text.matchAll(IMPORT)].map((match) => ({
      from,
      to: normalize(join(dirname(from), (match[1] ?? match[2]) as string)),
      eager: match[1] !== undefined && !/^\s*(?:import|export)\s+type\s/.test(match[0]),
    }));
  });
}

/** One line for each edge outside the table. */
export function forbiddenEdges(edges: readonly ImportEdge[]): string[] {
  return edges.flatMap(({ from, to }) => {
    const folder = from.split('/')[0] as string;
    const target = to.split('/')[0] as string;
    if (to === 'errors.ts' || folder === target) return [];
    if (['bin', 'test', 'bench', 'fixtures'].includes(target) && target !== folder)
      return [`${from} imports ${to}: nothing imports ${target}/`];
    const allowed = MAY_IMPORT[folder];
    return allowed === undefined || allowed.includes(target)
      ? []
      : [`${from} imports ${to}: ${folder}/ may import ${allowed.join(', ') || 'nothing'} and errors.ts`];
  });
}

/** The files of one cycle of eager value imports, or undefined. */
export function findCycle(edges: readonly ImportEdge[]): string[] | undefined {
  const next = Map.groupBy(
    edges.filter((edge) => edge.eager),
    (edge) => edge.from,
  );
  const state = new Map<string, 'open' | 'closed'>();
  const path: string[] = [];
  const visit = (file: string): string[] | undefined => {
    if (state.get(file) === 'closed') return undefined;
    if (state.get(file) === 'open') return [...path.slice(path.indexOf(file)), file];
    state.set(file, 'open');
    path.push(file);
    for (const { to } of next.get(file) ?? []) {
      const cycle = visit(to);
      if (cycle) return cycle;
    }
    path.pop();
    state.set(file, 'closed');
    return undefined;
  };
  for (const file of next.keys()) {
    const cycle = visit(file);
    if (cycle) return cycle;
  }
  return undefined;
}
