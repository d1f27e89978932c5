import { rmSync } from 'node:fs';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { refuseLateFlags } from './arguments.ts';
import { cacheDirectory } from './cache-directory.ts';
import { removeFiltered, removeNamed } from './rmi.ts';
import { openSession } from './session.ts';

export const prune: CommandSpec = {
  name: 'prune',
  summary: 'Remove images without a name that nothing uses, and the cache of builds',
  usage: '[flags]',
  flags: [
    { name: 'all', short: 'a', kind: 'bool', usage: 'remove every image that no container uses' },
    { name: 'force', short: 'f', kind: 'bool', usage: 'remove containers that use the images, too' },
  ],
  interspersed: false,
  run: runPrune,
};

async function runPrune(context: CommandContext): Promise<void> {
  const { flags, args } = context;
  refuseLateFlags(args);
  await using session = await openSession(context);
  rmSync(cacheDirectory(context), { recursive: true, force: true });
  const filters = flags.bool('all') ? [] : ['dangling=true', 'intermediate=false'];
  await session.store.sweep();
  // Undocumented, as in the original: with names it removes those.
  if (args.length > 0) return removeNamed(context, session, args, flags.bool('force'));
  await removeFiltered(context, session, filters, flags.bool('force'));
}
