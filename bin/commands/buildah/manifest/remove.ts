import { imageNotKnown } from '../../../../build/container/find-image.ts';
import { findLocalImage } from '../../../../build/container/pull.ts';
import type { RemovalReport } from '../../../../build/container/removal-plan.ts';
import { removeImage } from '../../../../build/container/remove-image.ts';
import { saveList, withoutEntry } from '../../../../build/list/list.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { usage } from '../arguments.ts';
import { printRemoval } from '../rmi.ts';
import { openSession, type Session } from '../session.ts';
import { findInstance, findList } from './find-list.ts';

export const remove: CommandSpec = {
  name: 'remove',
  summary: 'Take an image out of a manifest list',
  usage: '[flags] LIST IMAGE',
  args: { min: 2 },
  run: runRemove,
};

async function runRemove(context: CommandContext): Promise<void> {
  const { args, print } = context;
  const [name = '', instance = ''] = args;
  if (args.length > 2)
    throw usage('at least two arguments are necessary: list and digest of instance to remove from list');
  if (name === '') throw usage('invalid image name ""');
  if (instance === '') throw usage('invalid instance ""');
  await using session = await openSession(context);
  const { list } = await findList(session, name);
  const digest = await findInstance(session, list, instance);
  const id = await saveList(session.store, withoutEntry(list, digest));
  print(`${id}: ${digest}`);
}

export const rm: CommandSpec = {
  name: 'rm',
  summary: 'Remove manifest lists',
  usage: '[flags] LIST...',
  args: { min: 1 },
  run: runRm,
};

async function runRm(context: CommandContext): Promise<void> {
  const { args, signal } = context;
  await using session = await openSession(context);
  const reports: RemovalReport[] = [];
  const failures: unknown[] = [];
  for (const name of args) {
    signal.throwIfAborted();
    try {
      reports.push(...(await removeList(session, name)));
    } catch (error) {
      failures.push(error);
    }
  }
  printRemoval(context, { reports, failures });
}

async function removeList(session: Session, name: string): Promise<readonly RemovalReport[]> {
  const { record } = await findList(session, name);
  const found = await findLocalImage(session.surroundings, name, { forPlatform: false });
  if (!found) throw imageNotKnown(name);
  return removeImage(session.surroundings, record, found.resolvedName);
}
