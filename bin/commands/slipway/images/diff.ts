import { ACCEPT_ALL } from '../../../../build/commit/copy-stored.ts';
import { contextOf, findLocalImage } from '../../../../build/container/pull.ts';
import { goJsonText } from '../../../../image/go-json.ts';
import type { ImageRecord } from '../../../../store/storage/contract.ts';
import { TRANSPORTS } from '../../../../transport/contract.ts';
import {
  compareFiles,
  type FileChange,
  type ImageFile,
  listImageFiles,
} from '../../../../transport/look/files.ts';
import { lookAtImage } from '../../../../transport/look/image.ts';
import { parseImageReference } from '../../../../transport/references.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { openSession, type Session } from '../../buildah/session.ts';
import { LOOK_FLAGS, withImage } from '../look.ts';
import { findImageRecord } from './find.ts';

/** `slipway diff`: podman diff for local images, and two references compared without pulling them. */
export const diff: CommandSpec = {
  name: 'diff',
  summary: 'Show which files an image changes, or differ between two images',
  description:
    'Prints C, A and D lines, as Podman does. For one local image: what its last layer changes. For two local images: what the first has changed, seen from the second. For two references with a transport or in registries: what the second adds, changes and deletes, read without pulling them.',
  usage: '[flags] IMAGE [IMAGE]',
  examples: [
    'slipway diff app',
    'slipway diff docker://registry.example.com/app:1 docker://registry.example.com/app:2',
  ],
  args: { min: 1, max: 2 },
  flags: [
    ...LOOK_FLAGS,
    { name: 'format', kind: 'string', usage: 'print as json, in Podman’s form' },
    { name: 'json', kind: 'bool', usage: 'print the changes as a list in JSON' },
  ],
  run: async (context) => {
    const { flags } = context;
    if (flags.string('format') && flags.string('format') !== 'json')
      throw new UsageError('usage', "only supported value for '--format' is 'json'");
    print(context, (await localChanges(context)) ?? (await referenceChanges(context)));
  },
};

type Tree = ReadonlyMap<string, ImageFile>;

/** Undefined where the arguments are not local images. */
async function localChanges(context: CommandContext): Promise<readonly FileChange[] | undefined> {
  const [name = '', base] = context.args;
  if (context.args.some((text) => TRANSPORTS.some((transport) => text.startsWith(`${transport}:`))))
    return undefined;
  await using session = await openSession(context);
  if (base === undefined) {
    const record = await findImageRecord(session, name);
    const changes = record.topLayer ? await session.store.layers.changes(record.topLayer) : [];
    return changes.filter(({ path }) => !MADE_BY_RUNTIMES.has(path));
  }
  const found = await findLocalImage(session.surroundings, name);
  const other = found && (await findLocalImage(session.surroundings, base));
  if (!found || !other) return undefined;
  const after = await treeOf(context, session, found.record);
  return changesAsSeen(await treeOf(context, session, other.record), after);
}

/** Podman never lists them. */
const MADE_BY_RUNTIMES: ReadonlySet<string> = new Set([
  '/dev',
  '/etc/hostname',
  '/etc/hosts',
  '/etc/mtab',
  '/etc/resolv.conf',
  '/proc',
  '/run',
  '/run/.containerenv',
  '/run/notify',
  '/run/secrets',
  '/sys',
]);

async function treeOf(
  context: CommandContext,
  { surroundings }: Session,
  { id }: ImageRecord,
): Promise<Tree> {
  const transport = contextOf(surroundings);
  const reference = await parseImageReference(`containers-storage:@${id}`, surroundings);
  await using source = await reference.openSource(transport);
  return await listImageFiles(await lookAtImage(ACCEPT_ALL, source, transport), context.signal);
}

/** Of a deleted directory only itself; a directory that something changed in counts as changed. */
function changesAsSeen(before: Tree, after: Tree): readonly FileChange[] {
  const changes = new Map(compareFiles(before, after).map((change) => [change.path, change]));
  for (const { path } of [...changes.values()])
    for (const parent of parentsOf(path))
      if (changes.get(parent)?.kind === 'D') changes.delete(path);
      else if (before.has(parent.slice(1)) && after.has(parent.slice(1)) && !changes.has(parent))
        changes.set(parent, { kind: 'C', path: parent });
  return [...changes.values()].filter(({ path }) => !MADE_BY_RUNTIMES.has(path));
}

function parentsOf(path: string): string[] {
  const parts = path.split('/').slice(1, -1);
  return parts.map((_part, at) => `/${parts.slice(0, at + 1).join('/')}`);
}

async function referenceChanges(context: CommandContext): Promise<readonly FileChange[]> {
  const [first = '', second] = context.args;
  if (second === undefined)
    throw new UsageError(
      'usage',
      `${JSON.stringify(first)} is not a local image: give a second one to compare`,
    );
  const trees: Tree[] = [];
  for (const text of [first, second])
    await withImage(context, text, async (image) => {
      trees.push(await listImageFiles(image, context.signal));
    });
  return compareFiles(trees[0] as Tree, trees[1] as Tree);
}

function print(context: CommandContext, changes: readonly FileChange[]): void {
  if (context.flags.bool('json')) {
    context.print(JSON.stringify(changes));
    return;
  }
  const sorted = [...changes].sort((a, b) => (a.path < b.path ? -1 : 1));
  const of = (kind: FileChange['kind']) => sorted.filter((one) => one.kind === kind).map(({ path }) => path);
  const [changed, added, deleted] = [of('C'), of('A'), of('D')];
  if (context.flags.string('format') === 'json') {
    const lists = Object.entries({ changed, added, deleted }).filter(([, list]) => list.length > 0);
    context.print(goJsonText(Object.fromEntries(lists), '     '));
    return;
  }
  for (const path of changed) context.print(`C ${path}`);
  for (const path of added) context.print(`A ${path}`);
  for (const path of deleted) context.print(`D ${path}`);
}
