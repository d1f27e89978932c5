import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere } from '../../errors.ts';
import {
  containerDirectory,
  containerRunDirectory,
  type Foundation,
  imageDirectory,
  layerDirectory,
  writeEverything,
} from './foundation.ts';
import { isId } from './ids.ts';
import { metadataTemporaryRoot, removeLayers, Trash } from './layer-removal.ts';
import { removeStaleTemporaryDirectories } from './temporary-directory.ts';
import { unreferencedLayers } from './unreferenced-layers.ts';

/**
 * Removes what no record refers to: layers, incomplete ones (by reading the rows) and abandoned ones, directories,
 * tar-splits and data of unknown layers, images and containers, temporary directories without a living owner, `.tmp-`
 * files.
 */
export async function sweep(foundation: Foundation): Promise<void> {
  for (const root of [...foundation.driver.temporaryRoots, metadataTemporaryRoot(foundation)])
    await removeStaleTemporaryDirectories(root);
  await using trash = new Trash(foundation);
  await writeEverything(foundation, async (layers, images, containers) => {
    const mounted = (await foundation.mounts.all()).map(({ id }) => id);
    const abandoned = unreferencedLayers(layers, images, containers, { mounted, now: foundation.now() });
    await removeLayers(foundation, layers, abandoned, trash);
    for (const id of foundation.driver.list())
      if (!layers.byId(id)) foundation.driver.remove(id, trash.trees);
    foundation.driver.tidy();
    const { places } = foundation;
    removeUnknown(
      layerDirectory(places),
      (id) => layers.byId(id) !== undefined,
      /^([0-9a-f]{64})(?:\.tar-split\.gz)?$/,
    );
    removeUnknown(imageDirectory(places), (id) => images.byId(id) !== undefined);
    removeUnknown(containerDirectory(places), (id) => containers.byId(id) !== undefined);
    removeUnknown(containerRunDirectory(places), (id) => containers.byId(id) !== undefined);
  });
}

function removeUnknown(
  directory: string,
  isKnown: (id: string) => boolean,
  pattern = /^([0-9a-f]{64})$/,
): void {
  for (const name of ifThere(() => readdirSync(directory), 'ENOENT') ?? []) {
    const id = pattern.exec(name)?.[1];
    const unknown = id !== undefined && isId(id) && !isKnown(id);
    if (unknown || name.startsWith('.tmp-')) rmSync(join(directory, name), { recursive: true, force: true });
  }
}
