import type { RuntimeConfig } from '../../image/config.ts';
import { BuildError } from '../error.ts';
import { heredocText } from '../parse/heredoc.ts';
import type { CommandInstruction, CopyInstruction, Instruction } from '../parse/instruction.ts';
import { mountFields } from '../parse/mount-fields.ts';
import { nearest } from '../parse/nearest.ts';
import { parseContainerfile } from '../parse/parse.ts';
import { applyInstruction } from '../plan/apply.ts';
import { PROXY_ARGUMENTS } from '../plan/arguments.ts';
import type { StageState } from '../plan/stage-state.ts';
import type { Stage } from '../plan/stages.ts';
import { nameOf } from '../plan/variables.ts';
import type { Findings } from './findings.ts';
import { type Expansion, expansionOf } from './lookups.ts';
import { checkPort, checkSecretName, checkSource, type IgnoreScope } from './value-rules.ts';

/** A stage that was walked, for the stages on top of it. */
export interface WalkedStage {
  readonly state: StageState;
  /** False where an image is below it whose variables are not known. */
  readonly knowsVariables: boolean;
  readonly setsWorkingDirectory: boolean;
}

/** What a stage starts from. */
export interface StageStart {
  readonly state: StageState;
  readonly config: RuntimeConfig;
  readonly knowsVariables: boolean;
  readonly setsWorkingDirectory: boolean;
  readonly ignore: IgnoreScope | undefined;
}

/**
 * Walks a stage's instructions with the variables that each sees.
 * @throws BuildError `syntax` where the build would fail at an instruction
 */
export function checkStage(stage: Stage, start: StageStart, findings: Findings): WalkedStage {
  const walk = new StageWalk(stage, start, findings);
  for (const instruction of stage.instructions) walk.check(instruction);
  return walk.result();
}

class StageWalk {
  readonly #stage: Stage;
  readonly #start: StageStart;
  readonly #state: StageState;
  readonly #findings: Findings;
  readonly #once = new Map<string, Instruction>();
  #setsWorkingDirectory: boolean;

  constructor(stage: Stage, start: StageStart, findings: Findings) {
    this.#stage = stage;
    this.#start = start;
    this.#state = start.state;
    this.#findings = findings;
    this.#setsWorkingDirectory = start.setsWorkingDirectory;
    const triggers = this.#state.startFrom(start.config, { inheritLabels: true });
    this.#applyTriggers(triggers);
  }

  result(): WalkedStage {
    const { knowsVariables } = this.#start;
    return { state: this.#state, knowsVariables, setsWorkingDirectory: this.#setsWorkingDirectory };
  }

  /** ONBUILD instructions of the base set variables; the file that has them is the one to be blamed for them. */
  #applyTriggers(triggers: readonly string[]): void {
    if (triggers.length === 0) return;
    try {
      const file = parseContainerfile(triggers.join('\n'), { file: 'ONBUILD' });
      for (const instruction of file.instructions) applyInstruction(this.#state, instruction, file.escape);
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
    }
  }

  check(instruction: Instruction): void {
    this.#checkVariables(instruction);
    this.#checkKind(instruction);
    applyInstruction(this.#state, instruction, this.#stage.escape);
  }

  #checkVariables(instruction: Instruction): void {
    const unset = new Set<string>();
    for (const word of expandedWords(instruction))
      for (const name of this.#expand(word).unset) unset.add(name);
    if (instruction.kind === 'arg')
      for (const name of this.#unsetDefaults(instruction.words)) unset.add(name);
    for (const text of expandedHeredocs(instruction))
      for (const name of this.#expand(text, true).unset) unset.add(name);
    for (const name of unset) this.#reportUnset(instruction, name);
  }

  /** Later words of one ARG see the names of those before; a default that is not used looks nothing up. */
  #unsetDefaults(words: readonly string[]): string[] {
    const { userArguments } = this.#state;
    return words.flatMap((word, at) => {
      if (userArguments.has(nameOf(word))) return [];
      const before = words.slice(0, at).map(nameOf);
      return [...this.#expand(word).unset].filter((name) => !before.includes(name));
    });
  }

  #expand(word: string, heredoc = false): Expansion {
    return expansionOf(word, this.#state.variables(), this.#stage.escape, { heredoc });
  }

  /** Where the base image is not known, only a name that looks mistyped is one that nobody sets. */
  #reportUnset(instruction: Instruction, name: string): void {
    const { allowed, declared } = this.#state;
    const isProxy = (PROXY_ARGUMENTS as readonly string[]).includes(name);
    if (allowed.has(name) && (!isProxy || declared.includes(name))) return;
    const known = [
      ...allowed,
      ...this.#state.imageEnvironment().map((entry) => entry.split('=', 1)[0] as string),
    ];
    const near = nearest(name, known);
    if (near === undefined && !this.#start.knowsVariables) return;
    this.#findings.add(
      'UndefinedVar',
      instruction,
      `${instruction.kind.toUpperCase()} uses $${name}, which is not set here${near ? ` (did you mean $${near}?)` : ''}`,
    );
  }

  #checkKind(instruction: Instruction): void {
    switch (instruction.kind) {
      case 'cmd':
      case 'entrypoint':
        this.#checkCommand(instruction);
        this.#checkOnce(instruction);
        return;
      case 'healthcheck':
        this.#checkOnce(instruction);
        return;
      case 'env':
      case 'label':
        if (instruction.legacy) this.#legacyPair(instruction);
        if (instruction.kind === 'env')
          for (const [name] of instruction.pairs)
            checkSecretName(instruction, this.#expand(name).text, this.#findings);
        return;
      case 'arg':
        for (const word of instruction.words)
          checkSecretName(instruction, word.split('=', 1)[0] as string, this.#findings);
        return;
      case 'expose':
        for (const word of instruction.words)
          for (const port of this.#expand(word).text.split(/\s+/).filter(Boolean))
            checkPort(instruction, port, this.#findings);
        return;
      case 'workdir':
        this.#checkWorkingDirectory(instruction, this.#expand(instruction.text).text);
        return;
      case 'copy':
      case 'add':
        this.#checkSources(instruction);
        return;
      default:
        return;
    }
  }

  #checkCommand(instruction: CommandInstruction): void {
    if (instruction.form === 'exec' || this.#state.config.Shell.length > 0) return;
    const name = instruction.kind.toUpperCase();
    this.#findings.add(
      'JSONArgsRecommended',
      instruction,
      `${name} runs through a shell, which does not pass signals on: write ${name} ["program", "argument"], or choose the shell with SHELL`,
    );
  }

  #checkOnce(instruction: Instruction): void {
    const before = this.#once.get(instruction.kind);
    this.#once.set(instruction.kind, instruction);
    if (!before) return;
    const name = instruction.kind.toUpperCase();
    this.#findings.add(
      'MultipleInstructionsDisallowed',
      // What the later one's comments skip is skipped.
      { position: before.position, comments: instruction.comments },
      `this ${name} has no effect: the one in line ${instruction.position.line} replaces it`,
    );
  }

  #legacyPair(instruction: Instruction & { readonly pairs: readonly (readonly [string, string])[] }): void {
    const [name] = instruction.pairs[0] as readonly [string, string];
    const keyword = instruction.kind.toUpperCase();
    this.#findings.add(
      'LegacyKeyValueFormat',
      instruction,
      `write ${keyword} ${name}=value, with an equals sign`,
    );
  }

  #checkWorkingDirectory(instruction: Instruction, path: string): void {
    if (!this.#setsWorkingDirectory && !path.startsWith('/'))
      this.#findings.add(
        'WorkdirRelativePath',
        instruction,
        `WORKDIR ${path} counts from wherever the base image stands: write an absolute path`,
      );
    this.#setsWorkingDirectory = true;
  }

  #checkSources(instruction: CopyInstruction): void {
    const { ignore } = this.#start;
    if (!ignore || instruction.from !== undefined) return;
    for (const source of instruction.sources)
      checkSource(instruction, this.#expand(source).text, ignore, this.#findings);
  }
}

/** The words of an instruction in which variables are replaced. */
function expandedWords(instruction: Instruction): readonly string[] {
  switch (instruction.kind) {
    case 'env':
    case 'label':
      return instruction.pairs.flat();
    case 'copy':
    case 'add': {
      const { chown, chmod, checksum, sources, destination } = instruction;
      return [chown, chmod, checksum, ...sources, destination].filter((word) => word !== undefined);
    }
    case 'user':
    case 'workdir':
    case 'stopsignal':
      return [instruction.text];
    case 'volume':
      return instruction.words;
    case 'run':
      return instruction.mounts.flatMap((mount) => mountFields(mount).map(([, value]) => value ?? ''));
    default:
      return [];
  }
}

function expandedHeredocs(instruction: Instruction): readonly string[] {
  if (instruction.kind !== 'copy' && instruction.kind !== 'add') return [];
  return instruction.heredocs.filter((heredoc) => heredoc.expand).map(heredocText);
}
