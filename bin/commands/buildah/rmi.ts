import { type FoundImage, imageNotKnown } from '../../../build/container/find-image.ts';
import { findLocalImage } from '../../../build/container/pull.ts';
import type {
  RemovalOutcome,
  RemovalReport,
  RemoveImageOptions,
} from '../../../build/container/removal-plan.ts';
import { removeImages } from '../../../build/container/remove-image.ts';
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

/** Removes what the names mean, as far as they mean something. */
export async function removeNamed(
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

/** A name on the command line and what it stands for: an image, none, or an error that keeps it from being told. */
interface NamedImage {
  readonly name: string;
  readonly found?: FoundImage;
  readonly error?: unknown;
}

/** Removes images by name or id, as many as can be, in this order. */
export async function removeByName(
  session: Session,
  names: readonly string[],
  options: NamedRemovalOptions,
): Promise<Removal> {
  const removal: Collected = { reports: [], failures: [] };
  const ids = new Set<string>();
  let batch: NamedImage[] = [];
  for (const name of names) {
    session.surroundings.signal?.throwIfAborted();
    let one = await lookUp(session, name);
    // What a name stands for may change with what goes before it.
    if (batch.length > 0 && (one.error !== undefined || (one.found && ids.has(one.found.record.id)))) {
      await removeBatch(session, batch, options, removal);
      batch = [];
      ids.clear();
      one = await lookUp(session, name);
    }
    batch.push(one);
    if (one.found) ids.add(one.found.record.id);
  }
  await removeBatch(session, batch, options, removal);
  return removal;
}

type NamedRemovalOptions = RemoveImageOptions & { readonly ignoreMissing?: boolean };

async function lookUp({ surroundings }: Session, name: string): Promise<NamedImage> {
  try {
    return { name, found: await findLocalImage(surroundings, name) };
  } catch (error) {
    return { name, error };
  }
}

async function removeBatch(
  { surroundings }: Session,
  batch: readonly NamedImage[],
  options: NamedRemovalOptions,
  removal: Collected,
): Promise<void> {
  const requests = batch.flatMap(({ found }) =>
    found ? [{ image: found.record, referencedBy: found.resolvedName }] : [],
  );
  const outcomes = [...(await removeImages(surroundings, requests, options))];
  for (const { name, found, error } of batch) {
    const outcome: RemovalOutcome | undefined = found ? outcomes.shift() : undefined;
    if (error !== undefined) removal.failures.push(error);
    else if (outcome && outcome.kind !== 'gone') note(removal, outcome);
    else if (!options.ignoreMissing) removal.failures.push(imageNotKnown(name));
  }
}

/** Removes images by filters, as many as can be. */
export async function removeMatching(
  session: Session,
  filters: readonly string[],
  options: RemoveImageOptions,
): Promise<Removal> {
  const list = await filterImages(session, ['readonly=false', ...filters]);
  session.surroundings.signal?.throwIfAborted();
  const removal: Collected = { reports: [], failures: [] };
  const requests = list.map((image) => ({ image, referencedBy: '' }));
  for (const outcome of await removeImages(session.surroundings, requests, options)) note(removal, outcome);
  return removal;
}

interface Collected extends Removal {
  readonly reports: RemovalReport[];
  readonly failures: unknown[];
}

function note(removal: Collected, outcome: RemovalOutcome): void {
  if (outcome.kind === 'done') removal.reports.push(...outcome.reports);
  if (outcome.kind === 'failed') removal.failures.push(outcome.error);
}

/** Prints what went, and ends with all failures. */
export function printRemoval(context: CommandContext, { reports, failures }: Removal): void {
  for (const { untagged } of reports) for (const name of untagged) context.print(`untagged: ${name}`);
  for (const { id, removed } of reports) if (removed) context.print(id);
  if (failures.length === 0) return;
  if (failures.length === 1 && !(failures[0] instanceof Error)) throw failures[0];
  const lines = failures.map((error) => `\n\t* ${error instanceof Error ? error.message : String(error)}`);
  const count = failures.length === 1 ? '1 error occurred:' : `${failures.length} errors occurred:`;
  throw new BuildError('bad-argument', `${count}${lines.join('')}\n\n`, { cause: failures[0] });
}
