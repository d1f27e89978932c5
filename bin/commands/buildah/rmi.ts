import { imageNotKnown } from '../../../build/container/find-image.ts';
import { findLocalImage } from '../../../build/container/pull.ts';
import {
  type RemovalReport,
  type RemoveImageOptions,
  removeImage,
} from '../../../build/container/remove-image.ts';
import { BuildError } from '../../../build/error.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { refuseLateFlags, usage } from './arguments.ts';
import { filterImages } from './image-filters.ts';
import { openSession, type Session } from './session.ts';

export const rmi: CommandSpec = {
  name: 'rmi',
  summary: 'Remove images from local storage',
  usage: '[flags] IMAGE...',
  examples: ['buildah rmi app:1.0', 'buildah rmi --all --force', 'buildah rmi --prune'],
  flags: [
    { name: 'all', short: 'a', kind: 'bool', usage: 'remove every image' },
    { name: 'force', short: 'f', kind: 'bool', usage: 'remove containers that use the image, too' },
    { name: 'prune', short: 'p', kind: 'bool', usage: 'remove images without a name that nothing uses' },
  ],
  interspersed: false,
  run: runRmi,
};

async function runRmi(context: CommandContext): Promise<void> {
  const { flags, args } = context;
  const all = flags.bool('all');
  const prune = flags.bool('prune');
  if (args.length === 0 && !all && !prune) throw usage('image name or ID must be specified');
  if (args.length > 0 && all)
    throw usage('when using the --all switch, you may not pass any images names or IDs');
  if (all && prune) throw usage('when using the --all switch, you may not use --prune switch');
  if (args.length > 0 && prune)
    throw usage('when using the --prune switch, you may not pass any images names or IDs');
  refuseLateFlags(args);
  await using session = await openSession(context);
  const force = flags.bool('force');
  if (args.length > 0) await removeNamed(context, session, args, force);
  else await removeFiltered(context, session, prune ? ['dangling=true'] : [], force);
}

async function removeNamed(
  context: CommandContext,
  session: Session,
  names: readonly string[],
  force: boolean,
): Promise<void> {
  printRemoval(context, await removeByName(session, names, { force }));
}

/** Removes what fits the filters; what went with another one is not asked for again. */
export async function removeFiltered(
  context: CommandContext,
  session: Session,
  filters: readonly string[],
  force: boolean,
): Promise<void> {
  printRemoval(context, await removeMatching(session, filters, { force }));
}

/** What was removed, and what could not be. */
export interface Removal {
  readonly reports: readonly RemovalReport[];
  readonly failures: readonly unknown[];
}

/** Removes images by name or id, as many as can be. */
export async function removeByName(
  session: Session,
  names: readonly string[],
  options: RemoveImageOptions & { readonly ignoreMissing?: boolean },
): Promise<Removal> {
  const work = names.map((name) => async () => {
    const found = await findLocalImage(session.surroundings, name);
    if (!found && options.ignoreMissing) return [];
    if (!found) throw imageNotKnown(name);
    return removeImage(session.surroundings, found.record, found.resolvedName, options);
  });
  return doAll(session, work);
}

/** Removes images by filters, as many as can be. */
export async function removeMatching(
  session: Session,
  filters: readonly string[],
  options: RemoveImageOptions,
): Promise<Removal> {
  const list = await filterImages(session, ['readonly=false', ...filters]);
  const work = list.map(({ id }) => async () => {
    const record = await session.store.images.get(id);
    return record ? removeImage(session.surroundings, record, '', options) : [];
  });
  return doAll(session, work);
}

async function doAll(
  { surroundings }: Session,
  work: readonly (() => Promise<RemovalReport[]>)[],
): Promise<Removal> {
  const reports: RemovalReport[] = [];
  const failures: unknown[] = [];
  for (const remove of work) {
    surroundings.signal?.throwIfAborted();
    await remove().then(
      (done) => reports.push(...done),
      (error: unknown) => failures.push(error),
    );
  }
  return { reports, failures };
}

/** Prints what went, and ends with all failures. */
function printRemoval(context: CommandContext, { reports, failures }: Removal): void {
  for (const { untagged } of reports) for (const name of untagged) context.print(`untagged: ${name}`);
  for (const { id, removed } of reports) if (removed) context.print(id);
  if (failures.length === 0) return;
  if (failures.length === 1 && !(failures[0] instanceof Error)) throw failures[0];
  const lines = failures.map((error) => `\n\t* ${error instanceof Error ? error.message : String(error)}`);
  const count = failures.length === 1 ? '1 error occurred:' : `${failures.length} errors occurred:`;
  throw new BuildError('bad-argument', `${count}${lines.join('')}\n`, { cause: failures[0] });
}
