import { isFailedCall, SlipwayError, systemErrorText } from '../../errors.ts';
import { printable } from '../../image/printable.ts';
import type { CommandContext, CommandEntry, CommandIo, CommandSpec, FlagSpec, ToolSpec } from './contract.ts';
import { UsageError } from './error.ts';
import { HELP_FLAG, type ParsedFlags, parseFlags } from './flags.ts';
import { renderHelp } from './help.ts';
import { suggestions } from './nearest.ts';

/** A command on the way to being run. */
interface Found {
  readonly path: readonly string[];
  readonly command: CommandSpec;
  /** Words behind the command's name, flags of its parents taken out when they stood before it. */
  readonly words: readonly string[];
  readonly unknown?: string;
}

const VERSION_FLAG: FlagSpec = { name: 'version', short: 'v', kind: 'bool', usage: 'show the version' };

/**
 * Runs a tool's command line to its exit code. Expected errors become one line on stderr; others keep their stack.
 * @param words the arguments behind the tool's name
 */
export async function runTool(
  tool: ToolSpec,
  words: readonly string[],
  io: CommandIo,
  signal: AbortSignal,
): Promise<number> {
  try {
    return await dispatch(tool, words, io, signal);
  } catch (error) {
    return reportError(tool, error, io, signal);
  }
}

async function dispatch(
  tool: ToolSpec,
  words: readonly string[],
  io: CommandIo,
  signal: AbortSignal,
): Promise<number> {
  const globals = tool.flags ?? [];
  const found = await withConfiguredDefaults(await findCommand(tool, words, globals), io);
  if (found.unknown !== undefined && found.command === tool) throw unknownCommand(tool, found.unknown);
  const declared = mergeFlags(
    found.command === tool ? [...globals, VERSION_FLAG] : [...(found.command.flags ?? []), ...globals],
  );
  const line = parseFlags(found.words, declared, found.command.interspersed ?? true);
  if (line.flags.bool('help')) return printHelp(io, found, globals);
  if (found.command === tool && line.flags.bool('version')) {
    writeOut(io, `${tool.name} version ${tool.version}\n`);
    return 0;
  }
  if (found.command === tool && tool.refuseCommand)
    throw new UsageError('unknown-command', tool.refuseCommand(undefined, []));
  if (!found.command.run) return printHelp(io, found, globals);
  checkArgumentCount(found, line.args);
  const context = makeContext(found, line, io, signal);
  return (await found.command.run(context)) ?? 0;
}

async function withConfiguredDefaults(found: Found, io: CommandIo): Promise<Found> {
  const { command } = found;
  if (!command.configuredDefaults) return found;
  const defaults = await command.configuredDefaults(io);
  const flags = command.flags?.map((flag) => ({ ...flag, default: defaults[flag.name] ?? flag.default }));
  return { ...found, command: { ...command, ...(flags ? { flags } : {}) } };
}

/** Flags of the command win over global ones of the same name. */
function mergeFlags(flags: readonly FlagSpec[]): FlagSpec[] {
  const merged = new Map<string, FlagSpec>();
  const shorts = new Set<string>();
  for (const flag of [...flags, HELP_FLAG]) {
    if (merged.has(flag.name)) continue;
    const clash = flag.short !== undefined && shorts.has(flag.short);
    if (flag.short) shorts.add(flag.short);
    merged.set(flag.name, clash ? { ...flag, short: undefined } : flag);
  }
  return [...merged.values()];
}

/** Walks down the subcommands; global flags may stand before a subcommand's name. */
async function findCommand(
  tool: ToolSpec,
  words: readonly string[],
  globals: readonly FlagSpec[],
): Promise<Found> {
  let command: CommandSpec = tool;
  let path = [tool.name];
  let rest = [...words];
  for (;;) {
    const at = command.commands
      ? firstArgument(rest, mergeFlags([...(command.flags ?? []), ...globals, VERSION_FLAG]))
      : -1;
    if (at < 0) return { path, command, words: rest };
    const word = rest[at] as string;
    const help = command === tool && word === 'help';
    if (help) {
      rest = [
        ...rest.slice(0, at),
        ...rest.slice(at + 1).filter((other) => !other.startsWith('-')),
        '--help',
      ];
      continue;
    }
    const entry: CommandEntry | undefined = command.commands?.find(
      (one) => one.name === word || one.aliases?.includes(word),
    );
    if (!entry) return { path, command, words: rest, unknown: word };
    command = await entry.load();
    path = [...path, entry.name];
    rest = [...rest.slice(0, at), ...rest.slice(at + 1)];
  }
}

/** The index of the first word that is neither a flag nor a flag's value; -1 for none. */
function firstArgument(words: readonly string[], flags: readonly FlagSpec[]): number {
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as string;
    if (word === '--') return -1;
    if (!word.startsWith('-') || word === '-') return at;
    if (word.includes('=')) continue;
    const spec = word.startsWith('--')
      ? flags.find((flag) => flag.name === word.slice(2))
      : flags.find((flag) => flag.short === word.at(-1));
    // A flag that only the subcommand knows takes the next word with it, as in cobra.
    const takesValue = spec
      ? !['bool', 'optionalBool', 'count'].includes(spec.kind) && spec.impliedValue === undefined
      : word.startsWith('--') || word.length === 2;
    if (takesValue) at += 1;
  }
  return -1;
}

function unknownCommand(tool: ToolSpec, word: string): UsageError {
  const near = suggestions(
    word,
    (tool.commands ?? []).filter((entry) => !entry.hidden).map((entry) => entry.name),
  );
  const text = near.length ? `\n\nDid you mean this?\n${near.map((name) => `\t${name}\n`).join('')}` : '';
  const message = tool.refuseCommand?.(word, near) ?? `unknown command "${word}" for "${tool.name}"${text}`;
  return new UsageError('unknown-command', message, {
    facts: { command: word, suggestions: near },
  });
}

function printHelp(io: CommandIo, found: Found, globals: readonly FlagSpec[]): number {
  const shown = found.path.length === 1 ? [...globals, VERSION_FLAG] : globals;
  io.stdout.write(renderHelp(found.path, found.command, shown));
  return 0;
}

function checkArgumentCount(found: Found, args: readonly string[]): void {
  const { min = 0, max = Number.POSITIVE_INFINITY, message } = found.command.args ?? {};
  if (args.length >= min && args.length <= max) return;
  throw new UsageError('usage', message ?? wrongCount(found, args, min, max));
}

/** In the words of cobra's NoArgs, ExactArgs, RangeArgs, MinimumNArgs and MaximumNArgs. */
function wrongCount(found: Found, args: readonly string[], min: number, max: number): string {
  const count = args.length;
  if (max === 0) return `unknown command ${JSON.stringify(args[0])} for "${found.path.join(' ')}"`;
  if (min === max) return `accepts ${min} arg(s), received ${count}`;
  if (min > 0 && Number.isFinite(max)) return `accepts between ${min} and ${max} arg(s), received ${count}`;
  if (count < min) return `requires at least ${min} arg(s), only received ${count}`;
  return `accepts at most ${max} arg(s), received ${count}`;
}

function makeContext(
  found: Found,
  line: { flags: ParsedFlags; args: readonly string[] },
  io: CommandIo,
  signal: AbortSignal,
): CommandContext {
  return {
    io,
    flags: line.flags,
    globals: line.flags,
    args: line.args,
    signal,
    commandPath: found.path,
    write: (text) => writeOut(io, text),
    print: (text) => writeOut(io, `${text}\n`),
    note: (text) => void io.stderr.write(`${text}\n`),
  };
}

function writeOut(io: CommandIo, text: string): void {
  if (io.writeOut) io.writeOut(text);
  else io.stdout.write(text);
}

function reportError(tool: ToolSpec, thrown: unknown, io: CommandIo, signal: AbortSignal): number {
  const error = firstFailure(thrown);
  if (
    signal.aborted &&
    (error === signal.reason || (error instanceof Error && error.name === 'AbortError'))
  ) {
    const reason: unknown = signal.reason;
    io.stderr.write(tool.formatError(reason instanceof Error ? reason.message : 'interrupted'));
    return reason instanceof SlipwayError && reason.exitCode !== undefined ? reason.exitCode : 130;
  }
  if (error instanceof SlipwayError) {
    const said = systemErrorText(error);
    const text = error.hint ? `${said} (${error.hint})` : said;
    // Parts of it may be of an image or a registry; lines are our own.
    io.stderr.write(tool.formatError(text.split('\n').map(printable).join('\n')));
    return error.exitCode ?? tool.failureExitCode;
  }
  const text = error instanceof Error ? systemMessage(error) : String(error);
  io.stderr.write(tool.formatError(text));
  return tool.failureExitCode;
}

/** What went wrong first, where cleaning up behind it failed too. */
function firstFailure(error: unknown): unknown {
  return error instanceof SuppressedError ? firstFailure(error.suppressed) : error;
}

/** A failed system call is one line; a defect of ours shows where it came from. */
function systemMessage(error: Error): string {
  return isFailedCall(error) ? systemErrorText(error) : (error.stack ?? error.message);
}
