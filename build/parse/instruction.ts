import type { Heredoc } from './heredoc.ts';
import type { SourcePosition } from './scan.ts';

/** What every instruction carries. Words are as written: variables are replaced when the instruction is executed. */
export interface InstructionBase {
  readonly position: SourcePosition;
  /** The keyword as written. */
  readonly keyword: string;
  /** The logical line with its continuations joined. */
  readonly original: string;
  readonly flags: readonly string[];
  readonly heredocs: readonly Heredoc[];
  readonly comments: readonly string[];
  /** The line in which a continuation ends that has an empty line inside it. */
  readonly emptyLine?: number;
}

/** A command line in shell form (one string) or exec form (JSON). */
export interface CommandWords {
  readonly form: 'shell' | 'exec';
  readonly words: readonly string[];
}

export interface FromInstruction extends InstructionBase {
  readonly kind: 'from';
  readonly image: string;
  readonly stageName?: string;
  readonly platform?: string;
  /** Buildah's `--after=STAGE`: build that stage first. */
  readonly after?: string;
}

export interface ArgInstruction extends InstructionBase {
  readonly kind: 'arg';
  /** `name` or `name=value` words. */
  readonly words: readonly string[];
}

export interface EnvInstruction extends InstructionBase {
  readonly kind: 'env' | 'label';
  readonly pairs: readonly (readonly [name: string, value: string])[];
  /** `ENV name value`, without an equals sign. */
  readonly legacy: boolean;
}

export interface CopyInstruction extends InstructionBase {
  readonly kind: 'copy' | 'add';
  /** Heredoc words (`<<EOF`) stand among them. */
  readonly sources: readonly string[];
  readonly destination: string;
  readonly from?: string;
  readonly chown?: string;
  readonly chmod?: string;
  readonly checksum?: string;
  readonly excludes: readonly string[];
  readonly link?: boolean;
  readonly parents?: boolean;
  readonly keepGitDirectory?: boolean;
  readonly unpack?: boolean;
}

export interface RunInstruction extends InstructionBase, CommandWords {
  readonly kind: 'run';
  readonly mounts: readonly string[];
  readonly network?: string;
  readonly security?: string;
  readonly devices: readonly string[];
}

export interface CommandInstruction extends InstructionBase, CommandWords {
  readonly kind: 'cmd' | 'entrypoint' | 'shell';
}

export interface WordsInstruction extends InstructionBase {
  readonly kind: 'expose' | 'volume';
  readonly words: readonly string[];
}

export interface TextInstruction extends InstructionBase {
  readonly kind: 'user' | 'workdir' | 'stopsignal' | 'maintainer';
  readonly text: string;
}

/** Durations in nanoseconds. */
export interface HealthcheckInstruction extends InstructionBase {
  readonly kind: 'healthcheck';
  /** Undefined for `HEALTHCHECK NONE`. */
  readonly command?: CommandWords;
  readonly intervalNs: number;
  readonly timeoutNs: number;
  readonly startPeriodNs: number;
  readonly startIntervalNs: number;
  readonly retries: number;
}

export interface OnbuildInstruction extends InstructionBase {
  readonly kind: 'onbuild';
  /** The trigger as an image config keeps it, heredocs included. */
  readonly expression: string;
  readonly trigger: Instruction;
}

/** `INCLUDE` and whatever else nobody knows never gets here: parsing refuses it. */
export type Instruction =
  | FromInstruction
  | ArgInstruction
  | EnvInstruction
  | CopyInstruction
  | RunInstruction
  | CommandInstruction
  | WordsInstruction
  | TextInstruction
  | HealthcheckInstruction
  | OnbuildInstruction;

export const INSTRUCTION_KINDS = [
  'add',
  'arg',
  'cmd',
  'copy',
  'entrypoint',
  'env',
  'expose',
  'from',
  'healthcheck',
  'label',
  'maintainer',
  'onbuild',
  'run',
  'shell',
  'stopsignal',
  'user',
  'volume',
  'workdir',
] as const;

export type InstructionKind = Instruction['kind'];
