import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageConfig } from '../../image/config.ts';
import type { ImageRecord } from '../../store/storage/contract.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { readStoredConfig, readStoredImage } from '../container/stored-image.ts';
import { BuildError } from '../error.ts';
import { imageLayers } from '../images/history.ts';
import { compareEntries, compareJson, type Difference } from './difference.ts';
import { findFirstByte } from './first-byte.ts';
import { type LayerEntry, readEntries } from './tar-entries.ts';

/** The differences between two images in the store: their layers from the base up, then config and manifest. */
export async function* compareImages(
  surroundings: BuildSurroundings,
  firstId: string,
  secondId: string,
): AsyncGenerator<Difference> {
  if (firstId === secondId) return;
  const [first, second] = [await open(surroundings, firstId), await open(surroundings, secondId)];
  yield* compareLayers(surroundings, first, second);
  yield* compareJson(documentOf(first.config), documentOf(second.config), 'config');
  yield* compareJson(first.annotations, second.annotations, 'annotations');
}

interface OpenImage {
  readonly record: ImageRecord;
  readonly config: ImageConfig;
  readonly annotations: unknown;
}

async function open({ store }: BuildSurroundings, id: string): Promise<OpenImage> {
  const record = await store.images.get(id);
  if (!record) throw new BuildError('missing-file', `image ${id} is gone from local storage`);
  const image = await readStoredImage(store, record);
  const { config } = await readStoredConfig(store, image);
  const manifest = JSON.parse(Buffer.from(image.manifestBytes).toString('utf8')) as { annotations?: unknown };
  return { record, config, annotations: manifest.annotations };
}

/** What layers say was compared with them. */
function documentOf({ rootfs: _rootfs, ...config }: ImageConfig): unknown {
  return config;
}

async function* compareLayers(
  surroundings: BuildSurroundings,
  first: OpenImage,
  second: OpenImage,
): AsyncGenerator<Difference> {
  const { store } = surroundings;
  const [a, b] = [await imageLayers(store, first.record), await imageLayers(store, second.record)];
  const made = (first.config.history ?? []).filter((entry) => !entry.empty_layer);
  for (const [at, layer] of a.entries()) {
    const other = b[at];
    if (!other || other.diffId === layer.diffId) continue;
    const createdBy = made[at + made.length - a.length]?.created_by;
    const where = { layer: at + 1, ...(createdBy === undefined ? {} : { createdBy }) };
    const entries = [
      await entriesOf(surroundings, layer.id),
      await entriesOf(surroundings, other.id),
    ] as const;
    const roots = [
      await store.layers.diffDirectory(layer.id),
      await store.layers.diffDirectory(other.id),
    ] as const;
    for (const difference of compareEntries(...entries))
      yield { ...where, ...withFirstByte(difference, roots) };
  }
  if (a.length !== b.length)
    yield { field: 'number of layers', first: String(a.length), second: String(b.length) };
}

function withFirstByte(difference: Difference, roots: readonly [string, string]): Difference {
  const { field, path } = difference;
  const found = field === 'content' && path !== undefined ? findFirstByte(...roots, path) : undefined;
  if (!found) return difference;
  const at = `at byte ${found.offset}`;
  return {
    ...difference,
    first: `${difference.first}, ${at} ${found.first}`,
    second: `${difference.second}, ${at} ${found.second}`,
  };
}

async function entriesOf(
  { store, temporaryDirectory, signal }: BuildSurroundings,
  layerId: string,
): Promise<LayerEntry[]> {
  const scratch = mkdtempSync(join(temporaryDirectory, 'slipway-compare-'));
  try {
    const { stream } = await store.layers.diff(layerId, { signal });
    return await readEntries(stream, scratch, signal);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
