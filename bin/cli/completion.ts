import type { CommandSpec, FlagSpec, ToolSpec } from './contract.ts';
import { UsageError } from './error.ts';
import { HELP_FLAG } from './flags.ts';

/** What can stand behind one command path. */
interface Node {
  /** Words behind the tool's name, joined by blanks; empty for the tool itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly flags: readonly FlagSpec[];
}

const NO_SHELL = 'the name of a shell must be specified: bash, zsh or fish';

/**
 * The `completion` command of a tool.
 * @param shellOf the one argument, in the tool's way to refuse none and several
 */
export function completionCommand(
  name: string,
  load: () => Promise<ToolSpec>,
  shellOf: (args: readonly string[], refusal: string) => string,
): CommandSpec {
  return {
    name: 'completion',
    summary: 'Print a completion script for a shell',
    usage: '[flags] bash|zsh|fish',
    examples: [`source <(${name} completion bash)`],
    hidden: true,
    run: async ({ args, write }) => write(await completionScript(await load(), shellOf(args, NO_SHELL))),
  };
}

/**
 * A script that teaches a shell the tool's commands and flags; words that are neither are completed as files.
 * @throws UsageError for a shell other than bash, zsh and fish
 */
async function completionScript(tool: ToolSpec, shell: string): Promise<string> {
  const nodes = await collect(tool, '', tool.flags ?? []);
  switch (shell) {
    case 'bash':
      return bash(tool.name, nodes);
    case 'zsh':
      return `#compdef ${tool.name}\nautoload -U +X bashcompinit && bashcompinit\n${bash(tool.name, nodes)}`;
    case 'fish':
      return fish(tool.name, nodes);
    default:
      throw new UsageError('usage', `no completion for the shell "${shell}": there are bash, zsh and fish`);
  }
}

async function collect(command: CommandSpec, path: string, globals: readonly FlagSpec[]): Promise<Node[]> {
  const entries = (command.commands ?? []).filter((entry) => !entry.hidden);
  const flags = [
    ...new Map([...globals, ...(command.flags ?? []), HELP_FLAG].map((flag) => [flag.name, flag])).values(),
  ];
  const own: Node = { path, commands: entries, flags: flags.filter((flag) => !flag.hidden) };
  const below = await Promise.all(
    entries.map(async (entry) =>
      collect(await entry.load(), path ? `${path} ${entry.name}` : entry.name, globals),
    ),
  );
  return [own, ...below.flat()];
}

const flagWords = (flags: readonly FlagSpec[]) => flags.map((flag) => `--${flag.name}`).sort();

function bash(tool: string, nodes: readonly Node[]): string {
  const cases = nodes.map(({ path, commands, flags }) => {
    const words = [...commands.map((entry) => entry.name), ...flagWords(flags)].join(' ');
    return `    '${path}') words='${words}' ;;`;
  });
  const paths = nodes.map(({ path }) => `'${path}'`).join('|');
  return `_${tool}_complete() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) continue ;; esac
    case "\${path:+$path }$word" in ${paths}) path="\${path:+$path }$word" ;; esac
  done
  case $path in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _${tool}_complete ${tool}
`;
}

function fish(tool: string, nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, commands, flags }) => {
    const depth = path === '' ? 0 : path.split(' ').length;
    const condition =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((word) => `__fish_seen_subcommand_from ${word}`)
            .join('; and ');
    return [
      ...commands.map(
        (entry) => `complete -c ${tool} -n '${condition}' -a ${entry.name} -d ${quote(entry.summary)}`,
      ),
      ...(depth === 0 ? [] : flags).map(
        (flag) =>
          `complete -c ${tool} -n '${condition}' -l ${flag.name}${flag.short ? ` -s ${flag.short}` : ''} -d ${quote(flag.usage.replaceAll('`', ''))}`,
      ),
    ];
  });
  return `${lines.join('\n')}\n`;
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
