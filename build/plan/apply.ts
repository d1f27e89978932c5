import { BuildError } from '../error.ts';
import { type ExpandOptions, expandWord, expandWords, type Variables } from '../parse/expand.ts';
import { expandHeredoc, heredocText, parseHeredocWord } from '../parse/heredoc.ts';
import type {
  CommandInstruction,
  CopyInstruction,
  EnvInstruction,
  HealthcheckInstruction,
  Instruction,
  RunInstruction,
  WordsInstruction,
} from '../parse/instruction.ts';
import { atLine } from './at-line.ts';
import { absoluteDestination, joinWorkingDirectory } from './destination.ts';
import { normalizePort } from './port.ts';
import type { StageState } from './stage-state.ts';
import { checkStopSignal } from './stop-signal.ts';

/** A file that a heredoc of COPY or ADD makes. */
export interface InlineFile {
  readonly name: string;
  readonly content: string;
}

/** COPY or ADD with its variables replaced. */
export interface ResolvedCopy {
  readonly kind: 'copy' | 'add';
  readonly sources: readonly string[];
  readonly files: readonly InlineFile[];
  /** Absolute; a trailing slash is kept. */
  readonly destination: string;
  readonly from?: string;
  readonly chown?: string;
  readonly chmod?: string;
  readonly checksum?: string;
  readonly excludes: readonly string[];
  readonly link: boolean;
  readonly parents: boolean;
  readonly keepGitDirectory?: boolean;
  readonly unpack?: boolean;
}

/** RUN with its flags' variables replaced. */
export interface ResolvedRun {
  readonly form: 'shell' | 'exec';
  readonly words: readonly string[];
  readonly heredocs: readonly InlineFile[];
  readonly mounts: readonly string[];
  readonly devices: readonly string[];
  readonly network?: string;
  readonly security?: string;
  readonly environment: readonly string[];
}

/** What an instruction wants done to the file system; metadata instructions want nothing. */
export interface Effects {
  readonly copy?: ResolvedCopy;
  readonly run?: ResolvedRun;
  readonly volumes?: readonly string[];
}

/**
 * Applies one instruction to the stage's state and tells what is left to do in the file system.
 * @throws BuildError `syntax` with file and line where a substitution or a resulting value is wrong
 */
export function applyInstruction(state: StageState, instruction: Instruction, escapeChar: string): Effects {
  const expand = new InstructionExpander(state.variables(), escapeChar);
  return atLine(instruction, () => apply(state, instruction, expand));
}

/** Expansion with the variables and the escape character of one instruction. */
export class InstructionExpander {
  readonly variables: Variables;
  readonly escapeChar: string;
  readonly #options: ExpandOptions;

  constructor(variables: Variables, escapeChar: string) {
    this.variables = variables;
    this.escapeChar = escapeChar;
    this.#options = { escape: escapeChar };
  }

  word = (text: string): string => expandWord(text, this.variables, this.#options);
  words = (text: string): string[] => expandWords(text, this.variables, this.#options);
  heredoc = (text: string): string => expandHeredoc(text, this.variables, this.#options);
}

function apply(state: StageState, instruction: Instruction, expand: InstructionExpander): Effects {
  switch (instruction.kind) {
    case 'copy':
    case 'add':
      return { copy: resolveCopy(state, instruction, expand) };
    case 'run':
      return { run: resolveRun(state, instruction, expand) };
    case 'volume':
      return { volumes: applyVolumes(state, instruction, expand) };
    case 'from':
      throw new BuildError('bad-instruction', 'FROM inside a stage');
    default:
      applyMetadata(state, instruction, expand);
      return {};
  }
}

type Metadata = Exclude<Instruction, { kind: 'copy' | 'add' | 'run' | 'from' }>;

function applyMetadata(state: StageState, instruction: Metadata, expand: InstructionExpander): void {
  const { config } = state;
  switch (instruction.kind) {
    case 'env':
    case 'label':
      applyPairs(state, instruction, expand);
      return;
    case 'arg':
      declareArguments(state, instruction.words, expand);
      return;
    case 'cmd':
      config.Cmd = commandLine(instruction);
      state.commandSet = instruction.words.length > 0;
      return;
    case 'entrypoint':
      config.Entrypoint = instruction.words.length === 0 ? null : commandLine(instruction);
      if (!state.commandSet) config.Cmd = null;
      return;
    case 'shell':
      config.Shell = [...instruction.words];
      return;
    case 'expose':
      for (const port of instruction.words.flatMap(expand.words))
        config.ExposedPorts[normalizePort(port)] = {};
      return;
    case 'user':
      config.User = expand.word(instruction.text);
      return;
    case 'workdir':
      config.WorkingDir = joinWorkingDirectory(config.WorkingDir, expand.word(instruction.text));
      return;
    case 'stopsignal':
      config.StopSignal = checkStopSignal(expand.word(instruction.text));
      return;
    case 'maintainer':
      state.author = instruction.text;
      return;
    case 'healthcheck':
      applyHealthcheck(state, instruction);
      return;
    case 'onbuild':
      config.OnBuild.push(instruction.expression);
      return;
  }
}

function applyPairs(state: StageState, instruction: EnvInstruction, expand: InstructionExpander): void {
  // All are expanded first: no pair of an instruction sees another.
  const pairs = instruction.pairs.map((pair) => pair.map(expand.word) as [string, string]);
  for (const [name, value] of pairs) {
    if (instruction.kind === 'label') state.setLabel(name, value);
    else state.setVariable(name, value);
  }
}

/** Later words of one ARG see the earlier ones, as in BuildKit. */
function declareArguments(state: StageState, words: readonly string[], expand: InstructionExpander): void {
  for (const word of words) {
    const expanded = new InstructionExpander(
      words.length > 1 ? state.variables() : expand.variables,
      expand.escapeChar,
    ).word(word);
    const equals = expanded.indexOf('=');
    const name = equals < 0 ? expanded : expanded.slice(0, equals);
    state.declare(name, equals < 0 ? undefined : expanded.slice(equals + 1));
    state.declared.push(name, expanded);
  }
}

/** Shell form of CMD and ENTRYPOINT is `/bin/sh -c`, whatever SHELL says, as Buildah writes it. */
function commandLine(instruction: CommandInstruction): string[] {
  const { form, words } = instruction;
  if (form === 'exec') return [...words];
  return ['/bin/sh', '-c', ...(words.length === 0 ? [] : [words.join(' ')])];
}

function applyHealthcheck(state: StageState, instruction: HealthcheckInstruction): void {
  const { command } = instruction;
  if (!command) {
    state.config.Healthcheck = { Test: ['NONE'] };
    return;
  }
  const { intervalNs, timeoutNs, startPeriodNs, startIntervalNs, retries } = instruction;
  state.config.Healthcheck = {
    Test: [command.form === 'exec' ? 'CMD' : 'CMD-SHELL', ...command.words],
    ...(intervalNs ? { Interval: intervalNs } : {}),
    ...(timeoutNs ? { Timeout: timeoutNs } : {}),
    ...(startPeriodNs ? { StartPeriod: startPeriodNs } : {}),
    ...(startIntervalNs ? { StartInterval: startIntervalNs } : {}),
    ...(retries ? { Retries: retries } : {}),
  };
}

function applyVolumes(
  state: StageState,
  instruction: WordsInstruction,
  expand: InstructionExpander,
): string[] {
  const paths = instruction.words.map((word) => expand.word(word).trim());
  if (paths.includes('')) throw new BuildError('syntax', 'Volume specified can not be an empty string');
  for (const path of paths) state.config.Volumes[path] = {};
  return paths;
}

function resolveCopy(
  state: StageState,
  instruction: CopyInstruction,
  expand: InstructionExpander,
): ResolvedCopy {
  const { kind, excludes, link, parents, keepGitDirectory, unpack } = instruction;
  const flag = (name: 'from' | 'chown' | 'chmod' | 'checksum') => {
    const value = instruction[name];
    return value === undefined ? {} : { [name]: expand.word(value) };
  };
  return {
    kind,
    sources: filesOf(instruction).map(expand.word),
    files: instruction.heredocs.map((heredoc) => ({
      name: heredoc.name,
      content: heredoc.expand ? expand.heredoc(heredocText(heredoc)) : heredocText(heredoc),
    })),
    destination: absoluteDestination(expand.word(instruction.destination), state.config.WorkingDir),
    ...flag('from'),
    ...flag('chown'),
    ...flag('chmod'),
    ...flag('checksum'),
    excludes: excludes.map(expand.word),
    link: link ?? false,
    parents: parents ?? false,
    ...(keepGitDirectory === undefined ? {} : { keepGitDirectory }),
    ...(unpack === undefined ? {} : { unpack }),
  };
}

/** The sources that are no heredocs of this instruction. */
function filesOf({ sources, heredocs }: CopyInstruction): readonly string[] {
  if (heredocs.length === 0) return sources;
  const names = new Set(heredocs.map(({ name }) => name));
  return sources.filter((source) => !names.has(parseHeredocWord(source)?.name ?? ''));
}

function resolveRun(
  state: StageState,
  instruction: RunInstruction,
  expand: InstructionExpander,
): ResolvedRun {
  const { form, words, mounts, devices, network, security } = instruction;
  return {
    form,
    words,
    heredocs: instruction.heredocs.map((heredoc) => ({ name: heredoc.name, content: heredocText(heredoc) })),
    mounts: mounts.map(expand.word),
    devices: devices.map(expand.word),
    ...(network === undefined ? {} : { network: expand.word(network) }),
    ...(security === undefined ? {} : { security: expand.word(security) }),
    environment: state.runEnvironment(),
  };
}
