import { lstatSync, opendirSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { readStoredConfig, readStoredImage } from '../container/stored-image.ts';
import { imageLayers } from '../images/history.ts';

export interface LayerFile {
  /** Absolute in the image. */
  readonly path: string;
  readonly sizeBytes: number;
}

export interface LayerContents {
  readonly id: string;
  readonly diffId?: string;
  /** Of the plain tar. */
  readonly sizeBytes: number;
  /** The history entry that made it; empty where there is none. */
  readonly createdBy: string;
  readonly fileCount: number;
  /** The biggest ones, biggest first. */
  readonly files: readonly LayerFile[];
}

/** A layer with more entries is looked at in part. */
const ENTRIES_LIMIT = 500_000;

/** The layers of a stored image, base first, with their biggest files. */
export async function layerContents(
  store: Store,
  record: ImageRecord,
  biggest: number,
): Promise<LayerContents[]> {
  const { config } = await readStoredConfig(store, await readStoredImage(store, record));
  const made = (config.history ?? []).filter((entry) => !entry.empty_layer);
  const layers = await imageLayers(store, record);
  const missing = made.length - layers.length;
  return Promise.all(
    layers.map(async ({ id, diffId, size }, at) => ({
      id,
      ...(diffId ? { diffId } : {}),
      sizeBytes: size,
      createdBy: made[at + missing]?.created_by ?? '',
      ...biggestFiles(await store.layers.diffDirectory(id), biggest),
    })),
  );
}

/** Reads a layer's own directory, which links in it are never followed out of. */
function biggestFiles(root: string, count: number): { fileCount: number; files: LayerFile[] } {
  let files: LayerFile[] = [];
  let fileCount = 0;
  let entries = 0;
  const pending = ['/'];
  for (let below = pending.pop(); below !== undefined && entries < ENTRIES_LIMIT; below = pending.pop()) {
    for (const { path, status } of list(root, below)) {
      entries += 1;
      if (status.isDirectory()) pending.push(path);
      if (!status.isFile()) continue;
      fileCount += 1;
      files.push({ path, sizeBytes: status.size });
    }
    if (files.length > 4096) files = largest(files, count);
  }
  return { fileCount, files: largest(files, count) };
}

function largest(files: readonly LayerFile[], count: number): LayerFile[] {
  return [...files].sort((a, b) => b.sizeBytes - a.sizeBytes || (a.path < b.path ? -1 : 1)).slice(0, count);
}

function* list(root: string, below: string) {
  try {
    using directory = opendirSync(join(root, below));
    for (let entry = directory.readSync(); entry; entry = directory.readSync()) {
      const path = join(below, entry.name);
      const status = lstatSync(join(root, path), { throwIfNoEntry: false });
      if (status) yield { path, status };
    }
  } catch (error) {
    // Another build may take the layer away meanwhile.
    if (!isSystemError(error, 'ENOENT')) throw error;
  }
}
