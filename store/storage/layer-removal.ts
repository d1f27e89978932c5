import { join } from 'node:path';
import { StoreError } from '../error.ts';
import type { WritableRows } from './database.ts';
import { type Foundation, layerDirectory, writeEverything } from './foundation.ts';
import { bigDataFileName } from './ids.ts';
import { mustFind } from './layer-rows.ts';
import { withRoom } from './make-room.ts';
import type { LayerRow } from './records.ts';
import { TemporaryDirectory } from './temporary-directory.ts';

export const INCOMPLETE = 'incomplete';

export function isIncomplete(row: LayerRow): boolean {
  return row.flags?.[INCOMPLETE] === true;
}

export function tarSplitPath(foundation: Foundation, id: string): string {
  return join(layerDirectory(foundation.places), `${id}.tar-split.gz`);
}

export function layerDataPath(foundation: Foundation, id: string, key: string): string {
  return join(layerDirectory(foundation.places), id, bigDataFileName(key));
}

/** The temporary directories of one change: dispose of it after the locks are given back, since deleting takes long. */
export class Trash implements AsyncDisposable {
  readonly #foundation: Foundation;
  #trees: TemporaryDirectory | undefined;
  #metadata: TemporaryDirectory | undefined;

  constructor(foundation: Foundation) {
    this.#foundation = foundation;
  }

  /** For trees of layers: on the driver's file system. */
  get trees(): TemporaryDirectory {
    this.#trees ??= new TemporaryDirectory(this.#foundation.driver.temporaryRoots[0]!);
    return this.#trees;
  }

  /** For tar-split files and big data. */
  get metadata(): TemporaryDirectory {
    this.#metadata ??= new TemporaryDirectory(metadataTemporaryRoot(this.#foundation));
    return this.#metadata;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#trees?.[Symbol.asyncDispose]();
    await this.#metadata?.[Symbol.asyncDispose]();
  }
}

export function metadataTemporaryRoot(foundation: Foundation): string {
  return join(layerDirectory(foundation.places), 'tmp');
}

/**
 * Removes layers, topmost first, with everything on disk. They are marked incomplete first, so that whoever comes next
 * finishes what a killed process began. The caller has made sure that nobody needs them.
 */
export async function removeLayers(
  foundation: Foundation,
  rows: WritableRows<LayerRow>,
  doomed: readonly LayerRow[],
  trash: Trash,
): Promise<void> {
  await condemnLayers(foundation, rows, doomed);
  await discardLayers(foundation, rows, doomed, trash);
}

/** Unmounts layers and marks them: from here on whoever opens the store removes them. */
async function condemnLayers(
  foundation: Foundation,
  rows: WritableRows<LayerRow>,
  doomed: readonly LayerRow[],
): Promise<void> {
  await withRoom(foundation, doomed, async () => {
    for (const row of doomed) {
      await unmountEntirely(foundation, row.id);
      if (isIncomplete(row)) continue;
      row.flags = { ...row.flags, [INCOMPLETE]: true };
      rows.touch(row);
    }
    rows.save();
  });
}

/** The second half of {@link removeLayers}. */
async function discardLayers(
  foundation: Foundation,
  rows: WritableRows<LayerRow>,
  doomed: readonly LayerRow[],
  trash: Trash,
): Promise<void> {
  await withRoom(foundation, doomed, () => {
    for (const row of doomed) {
      foundation.driver.remove(row.id, trash.trees);
      trash.metadata.take(tarSplitPath(foundation, row.id));
      trash.metadata.take(join(layerDirectory(foundation.places), row.id));
      rows.remove(row);
    }
    rows.save();
  });
}

/**
 * Removes one layer that nothing is above and nobody uses.
 * @throws StoreError `no-such-layer`, `in-use`
 */
export async function deleteLayer(foundation: Foundation, id: string): Promise<void> {
  await using trash = new Trash(foundation);
  await writeEverything(foundation, async (layers, images, containers) => {
    const row = mustFind(layers, id);
    const child = layers.all.find((other) => other.parent === row.id);
    if (child) throw new StoreError('in-use', `layer ${row.id} is used by layer ${child.id}`);
    const image = images.all.find((other) => other.layer === row.id);
    if (image) throw new StoreError('in-use', `layer ${row.id} used by image ${image.id}`);
    const container = containers.all.find((other) => other.layer === row.id);
    if (container) throw new StoreError('in-use', `layer ${row.id} used by container ${container.id}`);
    await removeLayers(foundation, layers, [row], trash);
    for (const other of images.all) {
      if (!other['mapped-layers']?.includes(row.id)) continue;
      other['mapped-layers'] = other['mapped-layers'].filter((mapped) => mapped !== row.id);
      images.touch(other);
    }
    images.save();
  });
}

/** Who dies while the layer is removed leaves no mount that nobody knows of. */
export async function unmountEntirely(foundation: Foundation, id: string): Promise<void> {
  await foundation.mounts.update(id, async (current) => {
    if (current !== undefined) await foundation.driver.unmount(id);
    return undefined;
  });
}
