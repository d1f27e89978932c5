import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { StoreError } from '../error.ts';
import { readBigData, writeBigData } from './big-data.ts';
import type { ContainerRecord, ContainerStore, CreateContainerOptions } from './contract.ts';
import type { Rows, WritableRows } from './database.ts';
import { containerDirectory, containerRunDirectory, type Foundation, writeEverything } from './foundation.ts';
import { storeIdMappings } from './id-mappings.ts';
import { checkId, randomId, timestamp, withoutDuplicates } from './ids.ts';
import { removeLayers, Trash } from './layer-removal.ts';
import type { StorageLayers } from './layer-store.ts';
import { type ContainerRow, containerRecord, type ImageRow, type LayerRow, layerRecord } from './records.ts';

/** Containers of a store. */
export class StorageContainers implements ContainerStore {
  readonly #foundation: Foundation;
  readonly #layers: StorageLayers;

  constructor(foundation: Foundation, layers: StorageLayers) {
    this.#foundation = foundation;
    this.#layers = layers;
  }

  async list(): Promise<readonly ContainerRecord[]> {
    return await this.#foundation.containers.read((rows) => rows.all.map(containerRecord));
  }

  async get(idOrName: string): Promise<ContainerRecord | undefined> {
    return await this.#foundation.containers.read((rows) => {
      const row = find(rows, idOrName);
      return row && containerRecord(row);
    });
  }

  async create(options: CreateContainerOptions): Promise<ContainerRecord> {
    const elsewhere = options.imageId ? await this.#readOnlyImage(options.imageId) : undefined;
    await using trash = new Trash(this.#foundation);
    return await writeEverything(this.#foundation, async (layers, images, containers) => {
      const image = options.imageId ? (images.find(options.imageId) ?? elsewhere?.row) : undefined;
      if (options.imageId && !image)
        throw new StoreError(
          'no-such-image',
          `locating image with ID ${JSON.stringify(options.imageId)}: image not known`,
        );
      const id = checkId(options.id ?? randomId());
      checkFree(containers, id, options.names ?? []);
      const layer = await this.#createLayer(layers, image, options, trash);
      try {
        return this.#record(containers, id, image?.id ?? '', layer.id, options);
      } catch (error) {
        await removeLayers(this.#foundation, layers, [layers.byId(layer.id)!], trash);
        throw error;
      }
    });
  }

  async #readOnlyImage(id: string): Promise<{ row: ImageRow } | undefined> {
    for (const { images } of this.#foundation.additional) {
      const row = await images.read((rows) => rows.find(id));
      if (row) return { row };
    }
    return undefined;
  }

  async #createLayer(
    layers: WritableRows<LayerRow>,
    image: ImageRow | undefined,
    options: CreateContainerOptions,
    trash: Trash,
  ) {
    const parent = image?.layer ? await this.#topLayer(layers, image.layer) : undefined;
    return await this.#layers.createIn(
      layers,
      { mountLabel: options.mountLabel, idMappings: options.idMappings ?? parent?.idMappings },
      parent,
      trash,
    );
  }

  async #topLayer(layers: Rows<LayerRow>, id: string) {
    const row = layers.byId(id);
    if (row) return layerRecord(row, false);
    for (const store of this.#foundation.additional) {
      const found = await store.layers.read((rows) => rows.byId(id));
      if (found) return layerRecord(found, true);
    }
    throw new StoreError('no-such-layer', `layer not known: ${id}`);
  }

  #record(
    containers: WritableRows<ContainerRow>,
    id: string,
    imageId: string,
    layerId: string,
    options: CreateContainerOptions,
  ): ContainerRecord {
    const row: ContainerRow = {
      id,
      ...(options.names?.length ? { names: withoutDuplicates(options.names) } : {}),
      image: imageId,
      layer: layerId,
      ...(options.metadata ? { metadata: options.metadata } : {}),
      created: timestamp(this.#foundation.now()),
      ...storeIdMappings(options.idMappings),
      flags: { MountLabel: options.mountLabel ?? '', ProcessLabel: '', ...options.flags },
    };
    containers.add(row);
    containers.save();
    return containerRecord(row);
  }

  setNames(id: string, names: readonly string[]): Promise<void> {
    return this.#change(id, (rows, row) => rows.rename(row, withoutDuplicates(names)));
  }

  setMetadata(id: string, metadata: string): Promise<void> {
    return this.#change(id, (_rows, row) => {
      row.metadata = metadata;
    });
  }

  async bigData(id: string, key: string): Promise<Uint8Array | undefined> {
    return await this.#foundation.containers.read((rows) =>
      readBigData(join(containerDirectory(this.#foundation.places), mustFind(rows, id).id), key),
    );
  }

  setBigData(id: string, key: string, data: Uint8Array): Promise<void> {
    return this.#change(id, (_rows, row) => {
      writeBigData(join(containerDirectory(this.#foundation.places), row.id), row, key, data);
    });
  }

  directory(id: string): Promise<string> {
    return this.#userData(containerDirectory(this.#foundation.places), id);
  }

  runDirectory(id: string): Promise<string> {
    return this.#userData(containerRunDirectory(this.#foundation.places), id);
  }

  async #userData(parent: string, id: string): Promise<string> {
    return await this.#foundation.containers.read((rows) => {
      const directory = join(parent, mustFind(rows, id).id, 'userdata');
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      return directory;
    });
  }

  async #change(
    id: string,
    change: (rows: WritableRows<ContainerRow>, row: ContainerRow) => void,
  ): Promise<void> {
    await this.#foundation.containers.write((rows) => {
      const row = mustFind(rows, id);
      change(rows, row);
      rows.touch(row);
      rows.save();
    });
  }
}

/** A container is also known by the id of its layer. */
function find(rows: Rows<ContainerRow>, idOrName: string): ContainerRow | undefined {
  return (
    rows.byId(idOrName) ??
    rows.byName(idOrName) ??
    rows.all.find((row) => row.layer === idOrName) ??
    rows.find(idOrName)
  );
}

function mustFind(rows: Rows<ContainerRow>, idOrName: string): ContainerRow {
  const row = find(rows, idOrName);
  if (!row) throw new StoreError('no-such-container', `container not known: ${idOrName}`);
  return row;
}

function checkFree(rows: Rows<ContainerRow>, id: string, names: readonly string[]): void {
  if (rows.byId(id)) throw new StoreError('name-in-use', `a container with ID ${id} already exists`);
  for (const name of names) {
    const other = rows.byName(name);
    if (other)
      throw new StoreError(
        'name-in-use',
        `the container name ${JSON.stringify(name)} is already in use by ${other.id}. You have to remove that container to be able to reuse that name: that name is already in use`,
      );
  }
}

export { find as findContainer };
