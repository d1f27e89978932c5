import { BuildError } from '../error.ts';
import { expandWord } from '../parse/expand.ts';
import type { ArgInstruction, FromInstruction, Instruction } from '../parse/instruction.ts';
import { nearest } from '../parse/nearest.ts';
import type { Containerfile } from '../parse/parse.ts';
import { atLine } from './at-line.ts';
import { StageNames } from './stage-names.ts';
import { StageState } from './stage-state.ts';
import { firstOf } from './variables.ts';

/** One stage of a build: FROM and what follows it. */
export interface Stage {
  readonly index: number;
  /** Name of `AS`, else the index as text. */
  readonly name: string;
  readonly named: boolean;
  readonly from: FromInstruction;
  /** The base image's name with its variables replaced. */
  readonly base: string;
  readonly platform?: string;
  /** The stage `FROM --after` names. */
  readonly after?: string;
  readonly instructions: readonly Instruction[];
  readonly escape: string;
  /** ARG words of the stages below, which this stage inherits. */
  readonly inheritedArguments: readonly string[];
  readonly headingArguments: ReadonlyMap<string, string>;
}

export interface StagesOptions {
  /** `--build-arg`. */
  readonly arguments: ReadonlyMap<string, string>;
  /** platform arguments, see arguments.ts. */
  readonly builtins: ReadonlyMap<string, string>;
  /** `--from`: replaces the first FROM's image. */
  readonly fromOverride?: string;
}

/**
 * Splits Containerfiles (later ones go on where the first ends) into stages and replaces the variables of FROM lines.
 * @throws BuildError `syntax` with file and line
 */
export function splitStages(files: readonly Containerfile[], options: StagesOptions): Stage[] {
  const placed = files.flatMap((file) =>
    file.instructions.map((instruction) => ({ instruction, escape: file.escape })),
  );
  const firstFrom = placed.findIndex(({ instruction }) => instruction.kind === 'from');
  const heading = firstFrom < 0 ? placed : placed.slice(0, firstFrom);
  const stray = heading.find(({ instruction }) => instruction.kind !== 'arg')?.instruction;
  if (stray || firstFrom < 0) throw missingFrom(files, stray);
  const headingArguments = evaluateHeading(heading, options);
  const stages: Stage[] = [];
  const names = new StageNames();
  for (const { from, escape: escapeChar, instructions } of groups(placed.slice(firstFrom))) {
    const stage = makeStage(
      { names, index: stages.length },
      from,
      escapeChar,
      instructions,
      headingArguments,
      options,
    );
    names.add(stage);
    stages.push(stage);
  }
  return stages;
}

interface Placed {
  readonly instruction: Instruction;
  readonly escape: string;
}

interface Group {
  readonly from: FromInstruction;
  readonly escape: string;
  readonly instructions: Instruction[];
}

/** Each FROM with what follows it. */
function groups(placed: readonly Placed[]): readonly Group[] {
  const list: Group[] = [];
  for (const { instruction, escape: escapeChar } of placed) {
    if (instruction.kind === 'from') list.push({ from: instruction, escape: escapeChar, instructions: [] });
    else list.at(-1)?.instructions.push(instruction);
  }
  return list;
}

function missingFrom(files: readonly Containerfile[], stray: Instruction | undefined): BuildError {
  const file = files[0]?.file ?? 'Containerfile';
  const where = stray ? `${stray.position.file}:${stray.position.line}` : file;
  return new BuildError(
    'syntax',
    stray
      ? `${where}: no build stage in current context: ${stray.keyword.toUpperCase()} before the first FROM`
      : `${where}: no FROM statement found`,
    { hint: 'only ARG may stand before the first FROM', facts: { path: file } },
  );
}

/** The values of the arguments above the first FROM. @throws BuildError `syntax` */
export function headingValues(
  file: Containerfile,
  given: ReadonlyMap<string, string>,
  builtins: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const firstFrom = file.instructions.findIndex(({ kind }) => kind === 'from');
  const heading = file.instructions.slice(0, Math.max(0, firstFrom));
  const placed = heading
    .filter(({ kind }) => kind === 'arg')
    .map((instruction) => ({ instruction, escape: file.escape }));
  return evaluateHeading(placed, { arguments: given, builtins });
}

function evaluateHeading(heading: readonly Placed[], options: StagesOptions): Map<string, string> {
  const values = new Map<string, string>();
  const variables = firstOf(values, options.arguments, options.builtins);
  for (const { instruction, escape: escapeChar } of heading) {
    for (const word of (instruction as ArgInstruction).words) {
      const expanded = atLine(instruction, () => expandWord(word, variables, { escape: escapeChar }));
      const equals = expanded.indexOf('=');
      const name = equals < 0 ? expanded : expanded.slice(0, equals);
      const value =
        options.arguments.get(name) ??
        options.builtins.get(name) ??
        (equals < 0 ? undefined : expanded.slice(equals + 1));
      if (value !== undefined) values.set(name, value);
    }
  }
  return values;
}

function makeStage(
  { names, index }: { readonly names: StageNames; readonly index: number },
  from: FromInstruction,
  escapeChar: string,
  instructions: readonly Instruction[],
  headingArguments: ReadonlyMap<string, string>,
  options: StagesOptions,
): Stage {
  const variables = firstOf(headingArguments, options.builtins);
  const expand = (word: string) => atLine(from, () => expandWord(word, variables, { escape: escapeChar }));
  const image = index === 0 && options.fromOverride ? options.fromOverride : from.image;
  const base = expand(image);
  if (base === '')
    throw new BuildError(
      'syntax',
      `${from.position.file}:${from.position.line}: base name (${from.image}) should not be blank`,
      {
        hint: 'declare the variable with ARG before the first FROM, or pass it with --build-arg',
        facts: { path: from.position.file, line: from.position.line },
      },
    );
  const parent = names.find(base);
  return {
    index,
    name: from.stageName === undefined ? String(index) : expand(from.stageName),
    named: from.stageName !== undefined,
    from,
    base,
    ...(from.platform === undefined ? {} : { platform: givenPlatform(from, expand(from.platform)) }),
    ...(from.after === undefined ? {} : { after: expand(from.after) }),
    instructions,
    escape: escapeChar,
    inheritedArguments: parent ? [...parent.inheritedArguments, ...ownArguments(parent, options)] : [],
    headingArguments,
  };
}

/** What `--platform` came to; nothing at all is a variable without a value, or a wrong name. */
function givenPlatform(from: FromInstruction, platform: string): string {
  return atLine(from, () => {
    if (platform === '') throw new BuildError('syntax', 'no value specified for --platform=');
    return platform;
  });
}

/** The ARG words of a stage as a stage on top of it inherits them, defaults resolved. */
function ownArguments(stage: Stage, options: StagesOptions): string[] {
  const state = newStageState(stage, options, []);
  return stage.instructions
    .filter((instruction) => instruction.kind === 'arg')
    .flatMap((instruction) =>
      instruction.words.map((word) => {
        const expanded = atLine(instruction, () =>
          expandWord(word, state.variables(), { escape: stage.escape }),
        );
        const equals = expanded.indexOf('=');
        state.declare(
          equals < 0 ? expanded : expanded.slice(0, equals),
          equals < 0 ? undefined : expanded.slice(equals + 1),
        );
        return expanded;
      }),
    );
}

/** The state that a stage starts with. */
export function newStageState(
  stage: Stage,
  options: Pick<StagesOptions, 'arguments' | 'builtins'>,
  defaultEnvironment: readonly string[],
): StageState {
  const state = new StageState({
    userArguments: options.arguments,
    headingArguments: stage.headingArguments,
    builtins: options.builtins,
    defaultEnvironment,
  });
  for (const word of stage.inheritedArguments) {
    const equals = word.indexOf('=');
    state.declare(equals < 0 ? word : word.slice(0, equals), equals < 0 ? undefined : word.slice(equals + 1));
  }
  return state;
}

/** The stages up to `--target`. @throws BuildError `no-such-stage` */
export function throughTarget(stages: readonly Stage[], target: string): readonly Stage[] {
  if (target === '') return stages;
  const found = new StageNames(stages).find(target);
  if (found) return stages.slice(0, found.index + 1);
  const near = nearest(
    target,
    stages.filter((stage) => stage.named).map((stage) => stage.name),
  );
  throw new BuildError('no-such-stage', `the target "${target}" was not found in the provided Dockerfile`, {
    ...(near ? { hint: `did you mean ${near}?` } : {}),
  });
}
