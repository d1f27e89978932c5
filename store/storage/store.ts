import { join } from 'node:path';
import { StoreError } from '../error.ts';
import { findContainer, StorageContainers } from './container-store.ts';
import type { Store } from './contract.ts';
import type { Rows } from './database.ts';
import { containerDirectory, containerRunDirectory, type Foundation, writeEverything } from './foundation.ts';
import { LayerUse } from './image-removal.ts';
import { StorageImages } from './image-store.ts';
import { removeLayers, Trash, unmountEntirely } from './layer-removal.ts';
import { StorageLayers } from './layer-store.ts';
import { withRoom } from './make-room.ts';
import { type ContainerRow, containerRecord, imageRecord, type LayerRow } from './records.ts';
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
    return await this.changeImages(() => ({ remove: [id] }), options);
  }

  async changeImages(
    decide: Parameters<Store['changeImages']>[0],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly removedLayers: readonly string[] }> {
    await using trash = new Trash(this.#foundation);
    return await writeEverything(
      this.#foundation,
      async (layers, images, containers) => {
        const changes = decide(
          images.all.map((row) => imageRecord(row, false)),
          containers.all.map(containerRecord),
        );
        for (const { id, names } of changes.removeNames ?? []) this.images.removeNamesIn(images, id, names);
        const gone = new Set((changes.remove ?? []).map((id) => this.images.mustFindIn(images, id)));
        const use = new LayerUse(layers, images, containers);
        const doomed = [...gone].flatMap((image) => use.release(image));
        // Images first: a process that dies here leaves layers without an image, never the other way round.
        await withRoom(this.#foundation, doomed, () => {
          for (const image of gone) images.remove(image);
          images.save();
        });
        await removeLayers(this.#foundation, layers, doomed, trash);
        for (const image of gone) this.images.removeData(image);
        return { removedLayers: doomed.map((row) => row.id) };
      },
      options.signal,
    );
  }

  async deleteContainer(id: string): Promise<void> {
    const [failure] = await this.deleteContainers([id]);
    if (failure) throw failure.error;
  }

  async deleteContainers(
    ids: readonly string[],
  ): Promise<readonly { readonly id: string; readonly error: unknown }[]> {
    await using trash = new Trash(this.#foundation);
    return await writeEverything(this.#foundation, async (layers, _images, containers) => {
      const failures: { id: string; error: unknown }[] = [];
      const gone = new Set<ContainerRow>();
      for (const id of ids) {
        try {
          gone.add(await this.#unmounted(layers, containers, id));
        } catch (error) {
          failures.push({ id, error });
        }
      }
      const doomed = [...gone].map(({ layer }) => layers.byId(layer)).filter((row) => row !== undefined);
      // Containers first: a process that dies here leaves layers without a container, which sweep takes away, never the
      // other way round.
      await withRoom(this.#foundation, doomed, () => {
        for (const container of gone) containers.remove(container);
        containers.save();
      });
      const { places } = this.#foundation;
      for (const { id } of gone) {
        await removeTree(join(containerDirectory(places), id));
        await removeTree(join(containerRunDirectory(places), id));
      }
      await removeLayers(this.#foundation, layers, doomed, trash);
      return failures;
    });
  }

  /** A container whose layer is mounted nowhere any more. */
  async #unmounted(
    layers: Rows<LayerRow>,
    containers: Rows<ContainerRow>,
    id: string,
  ): Promise<ContainerRow> {
    const container = findContainer(containers, id);
    if (!container) throw new StoreError('no-such-container', `container not known: ${id}`);
    const layer = layers.byId(container.layer);
    if (layer) await withRoom(this.#foundation, [layer], () => unmountEntirely(this.#foundation, layer.id));
    return container;
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
