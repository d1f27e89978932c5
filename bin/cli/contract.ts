/**
 * A flag as spf13/pflag knows it.
 * `bool`: `--name`, `--name=false`. `optionalBool`: undefined when not given. `string`, `int`, `duration` (Go syntax,
 * to milliseconds), `bytes` (`10m`): one value, the last wins. `array`: repeated, each value whole. `slice`: repeated
 * and split at commas as CSV. `count`: how often it stands there.
 */
export interface FlagSpec {
  readonly name: string;
  readonly short?: string;
  readonly kind:
    | 'bool'
    | 'optionalBool'
    | 'string'
    | 'int'
    | 'uint'
    | 'float'
    | 'duration'
    | 'bytes'
    | 'array'
    | 'slice'
    | 'count';
  /** One line for --help, in our own words; a `word` in back quotes names the value. */
  readonly usage: string;
  readonly default?: boolean | string | number | readonly string[];
  /** The value of `--name` without `=` (pflag's NoOptDefVal). */
  readonly impliedValue?: string;
  readonly hidden?: boolean;
  /** Accepted and without effect here for the reason given, printed in --help. */
  readonly noEffect?: string;
}

export type FlagValue = boolean | string | number | readonly string[] | undefined;

/** Parsed flags: typed getters throw a plain Error for a name that the command does not declare. */
export interface Flags {
  /** True where the command or its tool knows the flag: for code that serves several commands. */
  declares(name: string): boolean;
  /** True where the user gave it. */
  changed(name: string): boolean;
  bool(name: string): boolean;
  optionalBool(name: string): boolean | undefined;
  /** Empty string when not given and without default, as in the originals. */
  string(name: string): string;
  optionalString(name: string): string | undefined;
  number(name: string): number;
  list(name: string): readonly string[];
}

/** Where a command reads and writes; tests give their own. */
export interface CommandIo {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  /** The same as `stdin.isTTY`, without opening the stream. */
  readonly stdinIsTerminal?: boolean;
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /** Writes text to stdout without opening the stream, which loads modules of Node for longer than many a command runs. */
  readonly writeOut?: (text: string) => void;
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
}

export interface CommandContext {
  readonly io: CommandIo;
  readonly flags: Flags;
  /** Flags of the root command (global ones). */
  readonly globals: Flags;
  readonly args: readonly string[];
  /** Aborted on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** The words that led here: `['buildah', 'manifest', 'add']`. */
  readonly commandPath: readonly string[];
  /** Writes a result to stdout as it is. */
  write(text: string): void;
  /** Writes a result line to stdout. */
  print(text: string): void;
  /** Writes a status line to stderr. */
  note(text: string): void;
}

/** One command; the runner parses flags, checks the argument count, prints errors and sets the exit code. */
export interface CommandSpec {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** One line in the parent's command list. */
  readonly summary: string;
  /** Longer text for --help. */
  readonly description?: string;
  /** Behind the command path in the usage line: `[flags] IMAGE`. */
  readonly usage: string;
  readonly examples?: readonly string[];
  readonly flags?: readonly FlagSpec[];
  /** Defaults of flags that configuration files change, by the flag's name. */
  readonly configuredDefaults?: (io: CommandIo) => Promise<Readonly<Record<string, FlagSpec['default']>>>;
  /** Argument count as cobra checks it; a message instead of the default where given. */
  readonly args?: { readonly min?: number; readonly max?: number; readonly message?: string };
  /** False: flags end at the first argument (`buildah run ctr cmd -x`). Default true: interspersed. */
  readonly interspersed?: boolean;
  readonly hidden?: boolean;
  /** Resolves to the exit code; nothing means 0. Throws SlipwayError for everything expected. */
  readonly run?: (context: CommandContext) => Promise<number | void>;
  readonly commands?: readonly CommandEntry[];
}

/** A subcommand that is loaded when it is called, or when the parent's help lists it (from `name` and `summary` here). */
export interface CommandEntry {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  readonly hidden?: boolean;
  readonly load: () => Promise<CommandSpec>;
}

/** A whole tool. */
export interface ToolSpec extends CommandSpec {
  readonly version: string;
  /** Exit code of usage errors and of SlipwayErrors without one: 125 for buildah, 1 for skopeo and slipway. */
  readonly failureExitCode: number;
  /** The error line: buildah prints `Error: …`, skopeo a logrus line `time="…" level=fatal msg="…"`. */
  readonly formatError: (message: string) => string;
  /**
   * What is said where the first word is no command, with the names that are near it; undefined for no word at all. Absent:
   * cobra's own words, and the help where there is no word.
   */
  readonly refuseCommand?: (word: string | undefined, near: readonly string[]) => string;
}
