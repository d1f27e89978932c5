import { TRANSPORTS } from '../../../transport/contract.ts';
import type { CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { withGlobals } from '../skopeo/exit-code.ts';
import { GLOBAL_FLAGS } from '../skopeo/global-flags.ts';

/** How a command of Skopeo becomes one of slipway. */
export interface Adoption {
  /** Of flags that it has already. */
  readonly defaults?: Readonly<Record<string, FlagSpec['default']>>;
  /** Its arguments are images, so that a bare name means a registry. Default true. */
  readonly takesImages?: boolean;
  /** Instead of the original's. */
  readonly change?: Partial<CommandSpec>;
}

/** The same command with Skopeo's global flags as its own. */
export function adopt(command: CommandSpec, adoption: Adoption = {}): CommandSpec {
  const { defaults = {}, takesImages = true, change = {} } = adoption;
  const changed = { ...command, ...change };
  const { run } = changed;
  const own = changed.flags ?? [];
  const names = new Set(own.map(({ name }) => name));
  return withGlobals({
    ...changed,
    usage: changed.usage.replace('[command options]', '[flags]'),
    examples: changed.examples?.map((line) => line.replace(/\bskopeo /g, 'slipway ')) ?? [],
    flags: [
      ...own.map((flag) => (flag.name in defaults ? { ...flag, default: defaults[flag.name] } : flag)),
      ...GLOBAL_FLAGS.filter(({ name }) => !names.has(name)),
    ],
    ...(run && {
      run: (context) => run(takesImages ? { ...context, args: context.args.map(withTransport) } : context),
    }),
  });
}

function withTransport(text: string): string {
  return TRANSPORTS.some((name) => text.startsWith(`${name}:`)) ? text : `docker://${text}`;
}
