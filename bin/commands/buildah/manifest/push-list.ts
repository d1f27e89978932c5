import { ACCEPT_ALL, type CopyStoredOptions, withLayers } from '../../../../build/commit/copy-stored.ts';
import { contextOf } from '../../../../build/container/pull.ts';
import { loadList } from '../../../../build/list/list.ts';
import { listReference } from '../../../../build/list/source.ts';
import type { ImageRecord } from '../../../../store/storage/contract.ts';
import type { ImageReference } from '../../../../transport/contract.ts';
import type { CopyResult } from '../../../../transport/copy-options.ts';
import { parseImageReference } from '../../../../transport/references.ts';
import { withRetries } from '../../../../transport/retry.ts';
import type { Session } from '../session.ts';

/** Copies a list, and its images as asked, to a destination. */
export async function pushList(
  { store, surroundings }: Session,
  record: ImageRecord,
  destination: ImageReference,
  options: CopyStoredOptions,
): Promise<CopyResult> {
  await surroundings.policy.prepare?.();
  const { copyImage } = await import('../../../../transport/copy.ts');
  const list = await loadList(store, record);
  const base = await parseImageReference(`containers-storage:@${record.id}`, surroundings);
  const context = contextOf(surroundings);
  const { retries = 3, retryDelayMs = 2000, layers, doing: _doing, ...copyOptions } = options;
  const work = () =>
    copyImage(ACCEPT_ALL, listReference(list, base, surroundings), destination, {
      onProgress: surroundings.onProgress,
      signal: surroundings.signal,
      ...copyOptions,
      source: context,
      destination: withLayers(context, layers),
    });
  return withRetries('pushing the manifest list', work, {
    times: retries,
    delayMs: retryDelayMs,
    onProgress: surroundings.onProgress,
    signal: surroundings.signal,
  });
}
