import type { HistoryEntry } from '../../image/config.ts';
import type { Digest } from '../../image/digest.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { BUILT_HERE } from '../commit/built-mark.ts';
import type { ImageView, ImageViews } from './image-view.ts';

/** The step that a cached image is looked for. */
export interface CacheQuery {
  /** The image that the step builds on; undefined: scratch. */
  readonly base: ImageView | undefined;
  /** Undefined: any. */
  readonly createdBy: string | undefined;
  readonly addsLayer: boolean;
  readonly format: 'oci' | 'docker';
  readonly os: string;
  readonly architecture: string;
  readonly cacheTtlMs?: number;
  readonly now: Date;
}

/**
 * The images in the store, newest first, that an earlier build made by the same step on the same base: parent layer,
 * whole history and diffIDs agree (imagebuildah intermediateImageExists). Images are looked up by their top layer, so
 * the cost does not grow with the store. What was pulled is no candidate, but from a `--cache-from`.
 */
export async function* cachedSteps(
  store: Store,
  views: ImageViews,
  query: CacheQuery,
): AsyncGenerator<ImageView, void> {
  const topLayers = await topLayersOnBase(store, query);
  const records = (await store.images.withTopLayer(topLayers)).filter((record) => isCandidate(record, query));
  for (const record of newestFirst(records)) {
    const view = await views.get(record);
    if (view && isStep(view, query)) yield { ...view, record };
  }
}

function isCandidate(record: ImageRecord, { cacheTtlMs, now }: CacheQuery): boolean {
  if (record.readOnly && record.names.length === 0) return false;
  if (!record.bigDataNames.includes(BUILT_HERE)) return false;
  return cacheTtlMs === undefined || now.getTime() - Date.parse(record.created) <= cacheTtlMs;
}

/** Of images made at the same time, the one that was recorded last comes first. */
function newestFirst(records: readonly ImageRecord[]): ImageRecord[] {
  return records.toReversed().sort((a, b) => Date.parse(b.created) - Date.parse(a.created));
}

/** The top layers that an image of the step can have; empty for none. */
async function topLayersOnBase(store: Store, query: CacheQuery): Promise<ReadonlySet<string>> {
  const base = query.base?.record.topLayer ?? '';
  if (!query.addsLayer) return new Set([base]);
  const layers = await store.layers.childrenOf(base || undefined);
  return new Set([...layers.map(({ id }) => id), ...(base === '' ? [''] : [])]);
}

/** Whether the image is one of the query's step, by what it says of itself. */
export function isStep(view: ImageView, query: CacheQuery): boolean {
  if (view.format !== query.format) return false;
  if (query.architecture && view.config.architecture !== query.architecture) return false;
  if (query.os && view.config.os !== query.os) return false;
  return historyMatches(query.base?.history ?? [], query.base?.diffIds ?? [], view, query);
}

function historyMatches(
  baseHistory: readonly HistoryEntry[],
  baseDiffIds: readonly Digest[],
  view: ImageView,
  query: CacheQuery,
): boolean {
  const { history, diffIds } = view;
  if (history.length !== baseHistory.length + 1) return false;
  if (!baseHistory.every((entry, index) => sameEntry(entry, history[index] as HistoryEntry))) return false;
  const baseLayers = baseHistory.filter((entry) => !entry.empty_layer).length;
  if (baseDiffIds.length !== baseLayers) return false;
  if (diffIds.length !== baseLayers + (query.addsLayer ? 1 : 0)) return false;
  if (!baseDiffIds.every((diffId, index) => diffId === diffIds[index])) return false;
  return query.createdBy === undefined || history[baseHistory.length]?.created_by === query.createdBy;
}

function sameEntry(a: HistoryEntry, b: HistoryEntry): boolean {
  return (
    (a.created_by ?? '') === (b.created_by ?? '') &&
    (a.comment ?? '') === (b.comment ?? '') &&
    (a.author ?? '') === (b.author ?? '') &&
    (a.empty_layer ?? false) === (b.empty_layer ?? false) &&
    sameTime(a.created, b.created)
  );
}

function sameTime(a: string | undefined, b: string | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && Date.parse(a) === Date.parse(b));
}
