import { unmountContainer } from '../../../build/container/mount.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { allContainers, findContainer } from './containers-in-store.ts';
import { forEach } from './for-each.ts';
import { openSession } from './session.ts';

export const umount: CommandSpec = {
  name: 'umount',
  aliases: ['unmount'],
  summary: 'Unmount the root file systems of working containers',
  usage: '[flags] CONTAINER...',
  flags: [{ name: 'all', short: 'a', kind: 'bool', usage: 'unmount every working container' }],
  interspersed: false,
  run: runUmount,
};

async function runUmount(context: CommandContext): Promise<void> {
  const { args, flags } = context;
  const all = flags.bool('all');
  if (args.length === 0 && !all) throw usage('at least one container ID must be specified');
  if (args.length > 0 && all) throw usage('when using the --all switch, you may not pass any container IDs');
  refuseLateFlags(args);
  await using session = await openSession(context);
  const names = all ? (await allContainers(session)).map((container) => container.id) : args;
  await forEach(context, names, async (name) => {
    const container = await findContainer(session, name, `error unmounting container ${name}`);
    if (!container.mountPoint) return;
    await unmountContainer(session.store, container);
    context.print(container.id);
  });
}
