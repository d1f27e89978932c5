import { BuildError } from '../error.ts';
import { expandWord } from '../parse/expand.ts';
import type { Instruction } from '../parse/instruction.ts';
import { mountFields } from '../parse/mount-fields.ts';
import { findStage, newStageState, type Stage, type StagesOptions } from './stages.ts';

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
  const needs = stages.map((stage) => needsOf(stage, stages, contexts, options));
  refuseCycles(stages, needs);
  const needed = new Set<number>();
  const mark = (index: number) => {
    if (needed.has(index)) return;
    needed.add(index);
    for (const need of needs[index]?.all ?? []) mark(need);
  };
  if (stages.length > 0) mark(stages.length - 1);
  return { needs, needed };
}

function needsOf(
  stage: Stage,
  stages: readonly Stage[],
  contexts: ReadonlySet<string>,
  options: Pick<StagesOptions, 'arguments' | 'builtins'>,
): StageNeeds {
  const base = contexts.has(stage.base)
    ? undefined
    : findStage(stages.slice(0, stage.index), stage.base)?.index;
  const files = new Set<number>();
  for (const name of fileSources(stage, options)) {
    const found = sourceStage(stages, stage.index, name, contexts);
    if (found !== undefined) files.add(found);
  }
  const after = afterStage(stage, stages);
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
  if (contexts.has(name)) return undefined;
  const earlier = findStage(stages.slice(0, own), name);
  if (earlier) return contexts.has(earlier.name) ? undefined : earlier.index;
  return /^\d+$/.test(name) ? undefined : findStage(stages.slice(own + 1), name)?.index;
}

function afterStage(stage: Stage, stages: readonly Stage[]): number | undefined {
  if (stage.after === undefined) return undefined;
  const found = findStage(stages.slice(0, stage.index), stage.after);
  if (found) return found.index;
  const itself = stage.name === stage.after;
  throw new BuildError(
    'no-such-stage',
    itself
      ? `FROM --after=${stage.from.after}: cannot depend on later stage "${stage.after}"`
      : `FROM --after=${stage.from.after}: stage "${stage.after}" not found`,
  );
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
  return instruction.mounts.flatMap((mount) =>
    mountFields(mount).flatMap(([key, value]) => (key === 'from' && value !== undefined ? [value] : [])),
  );
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
  const path: number[] = [];
  const visit = (index: number) => {
    if (done.has(index)) return;
    if (path.includes(index)) {
      const stage = stages[index] as Stage;
      const { file, line } = stage.from.position;
      const names = [...path.slice(path.indexOf(index)), index].map((at) => stages[at]?.name);
      throw new BuildError(
        'syntax',
        `${file}:${line}: circular dependency detected on stage: ${stage.name} (${names.join(' -> ')})`,
        { facts: { path: file, line } },
      );
    }
    path.push(index);
    for (const need of needs[index]?.all ?? []) visit(need);
    path.pop();
    done.add(index);
  };
  for (const stage of stages) visit(stage.index);
}
