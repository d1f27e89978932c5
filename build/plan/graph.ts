import { BuildError } from '../error.ts';
import { expandWord } from '../parse/expand.ts';
import type { Instruction } from '../parse/instruction.ts';
import { mountSources } from '../parse/mount-fields.ts';
import { StageNames } from './stage-names.ts';
import { newStageState, type Stage, type StagesOptions } from './stages.ts';

/** What a stage takes from others. */
export interface StageNeeds {
  /** Index of the stage that FROM names; undefined: an image, a context or scratch. */
  readonly base?: number;
  /** Stages whose files COPY, ADD or a mount reads. */
  readonly files: ReadonlySet<number>;
  /** Every stage that must be finished first, `--after` included. */
  readonly all: ReadonlySet<number>;
}

export interface StageGraph {
  readonly needs: readonly StageNeeds[];
  /** Indexes of the stages that the last one needs, itself included. */
  readonly needed: ReadonlySet<number>;
}

/**
 * Who needs whom. Additional build contexts hide stages of the same name; a stage may name later stages in COPY
 * and mounts (BuildKit), as long as no cycle comes of it.
 * @throws BuildError `syntax` for cycles, `no-such-stage` for an unknown `--after`
 */
export function stageGraph(
  stages: readonly Stage[],
  contexts: ReadonlySet<string>,
  options: Pick<StagesOptions, 'arguments' | 'builtins'>,
): StageGraph {
  const names = new StageNames(stages);
  const needs = stages.map((stage) => needsOf(stage, names, contexts, options));
  refuseCycles(stages, needs);
  return { needs, needed: reachable(needs, stages.length - 1) };
}

/** A stage and all that it needs, directly or not; without recursion, since a chain may be long. */
function reachable(needs: readonly StageNeeds[], last: number): ReadonlySet<number> {
  const found = new Set<number>(last < 0 ? [] : [last]);
  for (const index of found) for (const need of needs[index]?.all ?? []) found.add(need);
  return found;
}

function needsOf(
  stage: Stage,
  names: StageNames,
  contexts: ReadonlySet<string>,
  options: Pick<StagesOptions, 'arguments' | 'builtins'>,
): StageNeeds {
  const base = contexts.has(stage.base) ? undefined : names.find(stage.base, { before: stage.index })?.index;
  const files = new Set<number>();
  for (const name of fileSources(stage, options)) {
    const found = stageAmong(names, stage.index, name, contexts);
    if (found !== undefined) files.add(found);
  }
  const after = afterStage(stage, names);
  const all = new Set([
    ...files,
    ...(base === undefined ? [] : [base]),
    ...(after === undefined ? [] : [after]),
  ]);
  return { ...(base === undefined ? {} : { base }), files, all };
}

/** Resolves what `--from=` or `from=` names to a stage; undefined: an image or a context. */
export function sourceStage(
  stages: readonly Stage[],
  own: number,
  name: string,
  contexts: ReadonlySet<string>,
): number | undefined {
  return stageAmong(new StageNames(stages), own, name, contexts);
}

function stageAmong(
  names: StageNames,
  own: number,
  name: string,
  contexts: ReadonlySet<string>,
): number | undefined {
  if (contexts.has(name)) return undefined;
  const earlier = names.find(name, { before: own });
  if (earlier) return contexts.has(earlier.name) ? undefined : earlier.index;
  return /^\d+$/.test(name) ? undefined : names.find(name, { after: own })?.index;
}

function afterStage(stage: Stage, names: StageNames): number | undefined {
  if (stage.after === undefined) return undefined;
  const found = names.find(stage.after, { before: stage.index });
  if (found) return found.index;
  const { file, line } = stage.from.position;
  const why =
    stage.name === stage.after
      ? `cannot depend on later stage "${stage.after}"`
      : `stage "${stage.after}" not found`;
  throw new BuildError('no-such-stage', `${file}:${line}: FROM --after=${stage.from.after}: ${why}`, {
    facts: { path: file, line },
  });
}

/** The names behind `--from` and `from=`; ARG defaults of the stage count. */
function fileSources(stage: Stage, options: Pick<StagesOptions, 'arguments' | 'builtins'>): string[] {
  const state = newStageState(stage, options, []);
  const expand = (word: string) => tryExpand(word, state.variables(), stage.escape);
  const names: string[] = [];
  for (const instruction of stage.instructions) {
    if (instruction.kind === 'arg') {
      for (const word of instruction.words.map(expand)) {
        const equals = word.indexOf('=');
        state.declare(
          equals < 0 ? word : word.slice(0, equals),
          equals < 0 ? undefined : word.slice(equals + 1),
        );
      }
    } else names.push(...sourcesOf(instruction).map(expand));
  }
  return names.filter((name) => name !== '');
}

function sourcesOf(instruction: Instruction): string[] {
  if (instruction.kind === 'onbuild') return [];
  if (instruction.kind === 'copy') return instruction.from === undefined ? [] : [instruction.from];
  if (instruction.kind !== 'run') return [];
  return mountSources(instruction.mounts);
}

/** A word that cannot be expanded is reported where it is executed. */
function tryExpand(
  word: string,
  variables: (name: string) => string | undefined,
  escapeChar: string,
): string {
  try {
    return expandWord(word, variables, { escape: escapeChar });
  } catch (error) {
    if (error instanceof BuildError) return word;
    throw error;
  }
}

function refuseCycles(stages: readonly Stage[], needs: readonly StageNeeds[]): void {
  const done = new Set<number>();
  const path = new Set<number>();
  const visit = (start: number) => {
    const open: { readonly index: number; readonly rest: number[] }[] = [];
    const enter = (index: number) => {
      if (done.has(index)) return;
      if (path.has(index)) throw cycle(stages, [...path], index);
      path.add(index);
      open.push({ index, rest: [...(needs[index]?.all ?? [])].reverse() });
    };
    enter(start);
    for (let top = open.at(-1); top; top = open.at(-1)) {
      const next = top.rest.pop();
      if (next !== undefined) enter(next);
      else {
        open.pop();
        path.delete(top.index);
        done.add(top.index);
      }
    }
  };
  for (const stage of stages) visit(stage.index);
}

function cycle(stages: readonly Stage[], path: readonly number[], index: number): BuildError {
  const stage = stages[index] as Stage;
  const { file, line } = stage.from.position;
  const names = [...path.slice(path.indexOf(index)), index].map((at) => stages[at]?.name);
  return new BuildError(
    'syntax',
    `${file}:${line}: circular dependency detected on stage: ${stage.name} (${names.join(' -> ')})`,
    { facts: { path: file, line } },
  );
}
