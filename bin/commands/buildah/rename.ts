import { saveContainer } from '../../../build/container/state.ts';
import { BuildError } from '../../../build/error.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { usage } from './arguments.ts';
import { findContainer } from './containers-in-store.ts';
import { openSession } from './session.ts';

export const rename: CommandSpec = {
  name: 'rename',
  summary: 'Give a working container another name',
  usage: '[flags] CONTAINER NAME',
  args: { min: 2, max: 2 },
  run: runRename,
};

async function runRename(context: CommandContext): Promise<void> {
  const [name = '', newName = ''] = context.args;
  await using session = await openSession(context);
  const container = await findContainer(session, name);
  if (container.name === newName) throw usage('renaming a container with the same name as its current name');
  const taken = await session.store.containers.get(newName);
  if (taken)
    throw new BuildError(
      'bad-argument',
      `the container name "${newName}" is already in use by container "${taken.id}"`,
    );
  await session.store.containers.setNames(container.id, [newName]);
  await saveContainer(session.store, { ...container, name: newName });
}
