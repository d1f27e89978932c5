import { formatReference } from '../image/reference.ts';
import { withoutSaving } from './blob-cache.ts';
import type { AdmissionPolicy, OnProgress, ReferrerCounts } from './contract.ts';
import { copyImage, copyReferrersOnly } from './copy.ts';
import type { CopyOptions, CopyResult } from './copy-options.ts';
import { TransportError } from './error.ts';
import { Limit } from './limit.ts';
import { formatImageReference } from './references.ts';
import { withRetries } from './retry.ts';
import type { SyncItem, SyncPlan } from './sync-plan.ts';
import { Turns } from './turns.ts';

export { parseSyncConfig, type RegistrySelection, type RepositorySelection } from './sync-config.ts';
export {
  planSync,
  planToJson,
  type SyncItem,
  type SyncPlan,
  type SyncTarget,
  shardPlan,
} from './sync-plan.ts';
export {
  configuredSources,
  directorySources,
  registrySources,
  type SyncGroup,
  type SyncSource,
} from './sync-sources.ts';

const DEFAULT_IMAGES = 6;

/** How {@link syncImages} carries out a plan. */
export interface SyncOptions {
  /** Applied to every image; its contexts are replaced by those of the image. */
  readonly copy: Omit<CopyOptions, 'source' | 'destination' | 'onProgress' | 'signal'>;
  /** Surroundings of the destination. */
  readonly destination: CopyOptions['destination'];
  /** Images copied at once; default 6. */
  readonly parallelImages?: number;
  /** Go on after an image that fails. */
  readonly keepGoing?: boolean;
  readonly retry?: { readonly times?: number; readonly delayMs?: number };
  /** Events of one image; called once for each, before it is copied. */
  readonly onImage?: (item: SyncItem) => OnProgress | undefined;
  readonly onDone?: (item: SyncItem, outcome: SyncOutcome) => void;
  readonly signal?: AbortSignal;
}

export type SyncOutcome =
  | { readonly kind: 'copied'; readonly result: CopyResult }
  | { readonly kind: 'unchanged'; readonly referrers?: ReferrerCounts }
  | { readonly kind: 'failed'; readonly error: unknown };

export interface SyncResult {
  readonly copied: number;
  readonly unchanged: number;
  readonly pruned: number;
  /** Of all images, those that were there too; set where referrers were asked for. */
  readonly referrers?: ReferrerCounts;
  readonly failures: readonly { readonly title: string; readonly error: unknown }[];
}

/**
 * Carries out a plan, several images at once. Images that are there unchanged are not touched.
 * @throws the first failure, unless `keepGoing`: then failures are counted and named in the result
 */
export async function syncImages(
  policy: AdmissionPolicy,
  plan: SyncPlan,
  options: SyncOptions,
): Promise<SyncResult> {
  const failures = [...plan.failures];
  if (failures[0] && !options.keepGoing) throw failures[0].error;
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const { blobCache } = options.copy;
  const copy = {
    ...options.copy,
    turns: options.copy.turns ?? new Turns(),
    ...(blobCache ? { blobCache: withoutSaving(blobCache) } : {}),
  };
  const limit = new Limit(options.parallelImages ?? DEFAULT_IMAGES);
  const counts = { copied: 0, unchanged: 0 };
  const referrers = { copied: 0, present: 0, unsupported: 0 };
  let first: { readonly error: unknown } | undefined;
  const run = async (item: SyncItem) => {
    const outcome = await syncOne(policy, item, { ...options, copy }, signal);
    if (outcome.kind === 'failed') {
      if (signal.aborted) return;
      failures.push({ title: formatImageReference(item.source.reference), error: outcome.error });
      first ??= { error: outcome.error };
      if (!options.keepGoing) stop.abort(outcome.error);
    } else {
      counts[outcome.kind] += 1;
      addReferrers(referrers, outcome);
    }
    options.onDone?.(item, outcome);
  };
  await Promise.allSettled(plan.items.map((item) => limit.run(() => run(item), signal)));
  await blobCache?.save();
  options.signal?.throwIfAborted();
  if (first && !options.keepGoing) throw first.error;
  // Nothing is removed as long as something is missing.
  const pruned = failures.length === 0 ? await prune(plan, options) : 0;
  return { ...counts, pruned, failures, ...(options.copy.referrers ? { referrers } : {}) };
}

function addReferrers(
  sum: { -readonly [Key in keyof ReferrerCounts]: ReferrerCounts[Key] },
  outcome: Exclude<SyncOutcome, { kind: 'failed' }>,
): void {
  const more = outcome.kind === 'copied' ? outcome.result.referrers : outcome.referrers;
  for (const key of ['copied', 'present', 'unsupported'] as const) sum[key] += more?.[key] ?? 0;
}

async function syncOne(
  policy: AdmissionPolicy,
  item: SyncItem,
  options: SyncOptions,
  signal: AbortSignal,
): Promise<SyncOutcome> {
  const unchanged = item.action === 'unchanged';
  if (unchanged && !options.copy.referrers) return { kind: 'unchanged' };
  const { source, destination } = item;
  const onProgress = unchanged ? undefined : options.onImage?.(item);
  const progress = onProgress ? { onProgress } : {};
  const { platforms } = source;
  const copy: CopyOptions = {
    ...options.copy,
    ...(platforms ? { select: { platforms }, sparse: 'strip' as const } : {}),
    source: { ...source.context, signal },
    destination: { ...options.destination, signal },
    ...progress,
    signal,
  };
  let { reopen } = item;
  const work = async (): Promise<SyncOutcome> => {
    if (unchanged)
      return { kind: 'unchanged', referrers: await copyReferrersOnly(source.reference, destination, copy) };
    const { transport, within } = source.reference;
    const from = reopen ? { transport, within, openSource: reopen } : source.reference;
    // Another try had better not rely on what was there before.
    reopen = undefined;
    return { kind: 'copied', result: await copyImage(policy, from, destination, copy) };
  };
  try {
    const retry = { ...options.retry, ...progress, signal };
    return await withRetries(formatImageReference(source.reference), work, retry);
  } catch (error) {
    return { kind: 'failed', error };
  }
}

async function prune({ prunes }: SyncPlan, options: SyncOptions): Promise<number> {
  if (prunes.length === 0) return 0;
  const { deleteRegistryTag } = await import('./docker/delete-tag.ts');
  const { DockerReference } = await import('./docker/reference.ts');
  for (const name of prunes) {
    try {
      await deleteRegistryTag(DockerReference.of(name), options.destination);
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      throw new TransportError(error.code, `pruning ${formatReference(name)}: ${error.message}`, {
        cause: error,
        hint: 'the registry removes no single tags; take prune out of the sync file',
      });
    }
  }
  return prunes.length;
}
