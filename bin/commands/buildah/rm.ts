import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { allContainers, findContainer } from './containers-in-store.ts';
import { forEach } from './for-each.ts';
import { openSession } from './session.ts';

export const rm: CommandSpec = {
  name: 'rm',
  aliases: ['delete'],
  summary: 'Remove working containers',
  usage: '[flags] CONTAINER...',
  examples: ['buildah rm work', 'buildah rm --all'],
  flags: [{ name: 'all', short: 'a', kind: 'bool', usage: 'remove every working container' }],
  interspersed: false,
  run: runRm,
};

async function runRm(context: CommandContext): Promise<void> {
  const { flags, args } = context;
  const all = flags.bool('all');
  if (args.length === 0 && !all) throw usage('container ID must be specified');
  if (args.length > 0 && all)
    throw usage('when using the --all switch, you may not pass any containers names or IDs');
  refuseLateFlags(args);
  await using session = await openSession(context);
  const names = all ? (await allContainers(session)).map((container) => container.id) : args;
  await forEach(context, names, async (name) => {
    const { id } = await findContainer(session, name, 'removing container');
    await session.store.deleteContainer(id);
    context.print(id);
  });
}
