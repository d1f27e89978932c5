import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { allContainers, containerNotKnown, findContainer } from './containers-in-store.ts';
import { openSession, type Session } from './session.ts';

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
  const failures: unknown[] = [];
  const ids = all ? (await allContainers(session)).map(({ id }) => id) : await named(session, args, failures);
  const left = new Set<string>();
  for (const { id, error } of await session.store.deleteContainers(ids)) {
    left.add(id);
    failures.push(error);
  }
  for (const id of ids) if (!left.has(id)) context.print(id);
  const last = failures.pop();
  for (const error of failures) context.note(error instanceof Error ? error.message : String(error));
  if (last !== undefined) throw last;
}

/** The ids of containers; each can be removed but once. */
async function named(session: Session, names: readonly string[], failures: unknown[]): Promise<string[]> {
  const ids = new Set<string>();
  for (const name of names) {
    try {
      const doing = `removing container "${name}"`;
      const { id } = await findContainer(session, name, doing);
      if (ids.has(id)) throw containerNotKnown(doing);
      ids.add(id);
    } catch (error) {
      failures.push(error);
    }
  }
  return [...ids];
}
