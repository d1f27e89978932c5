import type { CommandEntry, CommandSpec, FlagSpec } from './contract.ts';
import { HELP_FLAG } from './flags.ts';

const VALUE_NAMES: Partial<Record<FlagSpec['kind'], string>> = {
  string: 'string',
  int: 'int',
  uint: 'uint',
  float: 'float',
  duration: 'duration',
  bytes: 'bytes',
  array: 'stringArray',
  slice: 'strings',
  count: 'count',
};

/** The text of `--help`, laid out as cobra does, so that scripts that read it go on working. */
export function renderHelp(
  path: readonly string[],
  command: CommandSpec,
  globals: readonly FlagSpec[],
): string {
  const line = path.join(' ');
  const flags = [...(command.flags ?? []), HELP_FLAG].filter((flag) => !flag.hidden);
  const isRoot = path.length === 1;
  const subcommands = (command.commands ?? []).filter((entry) => !entry.hidden);
  const sections = [
    command.description ?? command.summary,
    renderUsage(line, command, subcommands.length > 0),
  ];
  if (command.aliases?.length) sections.push(`Aliases:\n  ${[command.name, ...command.aliases].join(', ')}`);
  if (command.examples?.length)
    sections.push(`Examples:\n${command.examples.map((example) => `  ${example}`).join('\n')}`);
  if (subcommands.length) sections.push(`Available Commands:\n${renderCommands(subcommands)}`);
  if (command.run || isRoot || subcommands.length === 0)
    sections.push(
      `Flags:\n${renderFlags(isRoot ? [...flags, ...globals.filter((flag) => !flag.hidden && !flags.some((own) => own.name === flag.name))] : flags)}`,
    );
  if (!isRoot && subcommands.length > 0) return `${sections.join('\n\n')}\n`;
  if (subcommands.length)
    sections.push(`Use "${line} [command] --help" for more information about a command.`);
  return `${sections.join('\n\n')}\n`;
}

function renderUsage(line: string, command: CommandSpec, hasCommands: boolean): string {
  const lines: string[] = [];
  if (command.run || !hasCommands) lines.push(`  ${line}${command.usage ? ` ${command.usage}` : ''}`);
  if (hasCommands) lines.push(`  ${line} [command]`);
  return `Usage:\n${lines.join('\n')}`;
}

function renderCommands(entries: readonly CommandEntry[]): string {
  const width = Math.max(11, ...entries.map((entry) => entry.name.length));
  return entries.map((entry) => `  ${entry.name.padEnd(width)} ${entry.summary}`).join('\n');
}

function renderFlags(flags: readonly FlagSpec[]): string {
  const rows = [...flags]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((flag) => ({ left: flagLabel(flag), right: flagText(flag) }));
  const width = Math.max(...rows.map((row) => row.left.length));
  return rows.map(({ left, right }) => `${left.padEnd(width)}   ${right}`).join('\n');
}

function flagLabel(flag: FlagSpec): string {
  const quoted = /`([^`]+)`/.exec(flag.usage)?.[1];
  const value = quoted ?? VALUE_NAMES[flag.kind] ?? '';
  const implied = flag.impliedValue === undefined ? '' : `[=${flag.impliedValue}]`;
  return `${flag.short ? `  -${flag.short}, ` : '      '}--${flag.name}${value ? ` ${value}` : ''}${implied}`;
}

function flagText(flag: FlagSpec): string {
  const text = flag.usage.replaceAll('`', '');
  const shown =
    flag.default === undefined ||
    flag.default === false ||
    flag.default === '' ||
    flag.default === 0 ||
    (Array.isArray(flag.default) && flag.default.length === 0);
  const initial = shown ? '' : ` (default ${formatDefault(flag)})`;
  return `${text}${initial}${flag.noEffect ? ` (no effect: ${flag.noEffect})` : ''}`;
}

function formatDefault(flag: FlagSpec): string {
  if (Array.isArray(flag.default)) return `[${flag.default.join(',')}]`;
  return flag.kind === 'string' ? JSON.stringify(flag.default) : String(flag.default);
}
