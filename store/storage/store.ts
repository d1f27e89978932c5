import { join } from 'node:path';
import { StoreError } from '../error.ts';
import { findContainer, StorageContainers } from './container-store.ts';
import type { Store } from './contract.ts';
import { containerDirectory, containerRunDirectory, type Foundation, writeEverything } from './foundation.ts';
import { layersToRemove } from './image-removal.ts';
import { StorageImages } from './image-store.ts';
import { condemnLayers, discardLayers, removeLayers, Trash } from './layer-removal.ts';
import { StorageLayers } from './layer-store.ts';
import { withRoom } from './make-room.ts';
import { removeTree } from './remove-tree.ts';

/** An open containers-storage. Made by openStore. */
export class StorageStore implements Store {
  readonly graphOptions: readonly string[];
  readonly rootless: boolean;
  readonly layers: StorageLayers;
  readonly images: StorageImages;
  readonly containers: StorageContainers;
  readonly #foundation: Foundation;

  constructor(foundation: Foundation, graphOptions: readonly string[], rootless: boolean) {
    this.#foundation = foundation;
    this.graphOptions = graphOptions;
    this.rootless = rootless;
    this.layers = new StorageLayers(foundation);
    this.images = new StorageImages(foundation);
    this.containers = new StorageContainers(foundation, this.layers);
  }

  get graphRoot(): string {
    return this.#foundation.places.graphRoot;
  }

  get runRoot(): string {
    return this.#foundation.places.runRoot;
  }

  get driver(): 'overlay' | 'vfs' {
    return this.#foundation.places.driverName;
  }

  async deleteImage(
    id: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly removedLayers: readonly string[] }> {
    await using trash = new Trash(this.#foundation);
    return await writeEverything(
      this.#foundation,
      async (layers, images, containers) => {
        const image = images.find(id);
        if (!image)
          throw new StoreError(
            'no-such-image',
            `locating image with ID ${JSON.stringify(id)}: image not known`,
          );
        const doomed = layersToRemove(image, layers, images, containers);
        // The image first: a process that dies here leaves layers without an image, never the other way round.
        await withRoom(this.#foundation, doomed, () => this.images.deleteIn(images, image));
        await removeLayers(this.#foundation, layers, doomed, trash);
        return { removedLayers: doomed.map((row) => row.id) };
      },
      options.signal,
    );
  }

  async deleteContainer(id: string): Promise<void> {
    await using trash = new Trash(this.#foundation);
    await writeEverything(this.#foundation, async (layers, _images, containers) => {
      const container = findContainer(containers, id);
      if (!container) throw new StoreError('no-such-container', `container not known: ${id}`);
      const layer = layers.byId(container.layer);
      const doomed = layer ? [layer] : [];
      // Condemned before the record that names it goes: who dies in between leaves no mount and no layer that nobody
      // knows of.
      await condemnLayers(this.#foundation, layers, doomed);
      await withRoom(this.#foundation, doomed, () => {
        containers.remove(container);
        containers.save();
      });
      const { places } = this.#foundation;
      await removeTree(join(containerDirectory(places), container.id));
      await removeTree(join(containerRunDirectory(places), container.id));
      await discardLayers(this.#foundation, layers, doomed, trash);
    });
  }

  async sweep(): Promise<void> {
    const { sweep } = await import('./sweep.ts');
    await sweep(this.#foundation);
  }

  /** Gives back the driver's own mounts when no layer of the store is mounted any more; other tools are told. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { driver, graphLock, mounts } = this.#foundation;
    if (!driver.hasMounted) return;
    const hold = await graphLock.acquire('write');
    try {
      if ((await mounts.all()).length > 0) return;
      hold.recordWrite();
      driver.shutdown();
    } finally {
      hold.release();
    }
  }
}
