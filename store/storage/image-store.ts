import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { algorithmOf, type Digest } from '../../image/digest.ts';
import { StoreError } from '../error.ts';
import { bigDataPath, noteBigData, readBigData, writeBigData } from './big-data.ts';
import type { CreateImageOptions, ImageRecord, ImageStore } from './contract.ts';
import type { Rows, WritableRows } from './database.ts';
import { type Foundation, imageDirectory } from './foundation.ts';
import { checkId, normalizedTimestamp, randomId, timestamp, withoutDuplicates } from './ids.ts';
import { type ImageRow, imageDigests, imageRecord } from './records.ts';

/** Images of a store and, for reading, of its additional read-only stores. */
export class StorageImages implements ImageStore {
  readonly #foundation: Foundation;
  readonly #directory: string;

  constructor(foundation: Foundation) {
    this.#foundation = foundation;
    this.#directory = imageDirectory(foundation.places);
  }

  list(): Promise<readonly ImageRecord[]> {
    return this.#select(() => true);
  }

  async get(idOrName: string): Promise<ImageRecord | undefined> {
    for (const { images } of this.#stores()) {
      const found = await images.read((rows) => {
        const row = rows.find(idOrName);
        return row && imageRecord(row, images.readOnly);
      });
      if (found) return found;
    }
    return undefined;
  }

  byDigest(digest: Digest): Promise<readonly ImageRecord[]> {
    return this.#select((row) => imageDigests(row).includes(digest));
  }

  byTopLayer(layerId: string): Promise<readonly ImageRecord[]> {
    return this.#select((row) => row.layer === layerId || row['mapped-layers']?.includes(layerId) === true);
  }

  withTopLayer(layerIds: ReadonlySet<string>): Promise<readonly ImageRecord[]> {
    return this.#select((row) => layerIds.has(row.layer ?? ''));
  }

  #stores() {
    return [this.#foundation, ...this.#foundation.additional];
  }

  async #select(wanted: (row: ImageRow) => boolean): Promise<ImageRecord[]> {
    const found: ImageRecord[] = [];
    for (const { images } of this.#stores())
      found.push(
        ...(await images.read((rows) =>
          rows.all.filter(wanted).map((row) => imageRecord(row, images.readOnly)),
        )),
      );
    return found;
  }

  async create(options: CreateImageOptions): Promise<ImageRecord> {
    const id = checkId(options.id ?? randomId());
    // Other tools refuse a whole database with a digest that they cannot compute.
    if (options.digest) algorithmOf(options.digest);
    return await this.#foundation.layers.read(async (layers) => {
      const topLayer =
        options.topLayer &&
        (layers.byId(options.topLayer)?.id ?? (await this.#layerElsewhere(options.topLayer)));
      if (options.topLayer && !topLayer)
        throw new StoreError('no-such-layer', `layer not known: ${options.topLayer}`);
      return await this.#foundation.images.write(async (rows) => {
        const existing = rows.byId(id);
        const row = existing ?? this.#newRow(rows, id, topLayer || undefined, options);
        if (existing) this.#renew(rows, existing, topLayer || undefined, options);
        const files = (options.bigData ?? []).map(({ key, data }) => {
          noteBigData(row, key, data);
          return { path: bigDataPath(join(this.#directory, id), key), data };
        });
        row.digest ??= imageDigests(row)[0];
        this.#addNames(rows, row, options.names ?? []);
        rows.touch(row);
        await rows.saveBehind(files);
        return imageRecord(row, false);
      });
    });
  }

  async #layerElsewhere(id: string): Promise<string | undefined> {
    for (const { layers } of this.#foundation.additional) {
      const found = await layers.read((rows) => rows.byId(id)?.id);
      if (found) return found;
    }
    return undefined;
  }

  #newRow(
    rows: WritableRows<ImageRow>,
    id: string,
    topLayer: string | undefined,
    options: CreateImageOptions,
  ): ImageRow {
    const row: ImageRow = {
      id,
      ...(options.digest ? { digest: options.digest } : {}),
      ...(topLayer ? { layer: topLayer } : {}),
      ...(options.metadata ? { metadata: options.metadata } : {}),
      created: normalizedTimestamp(options.created) ?? timestamp(this.#foundation.now()),
    };
    rows.add(row);
    return row;
  }

  #renew(
    rows: WritableRows<ImageRow>,
    row: ImageRow,
    topLayer: string | undefined,
    options: CreateImageOptions,
  ): void {
    if ((row.layer || undefined) !== topLayer && !row['mapped-layers']?.includes(topLayer ?? ''))
      throw new StoreError(
        'name-in-use',
        `image with ID ${JSON.stringify(row.id)} already exists, but uses a different top layer`,
      );
    if (options.metadata) row.metadata = options.metadata;
    rows.touch(row);
  }

  #addNames(rows: WritableRows<ImageRow>, row: ImageRow, names: readonly string[]): void {
    if (names.length === 0) return;
    this.#rename(rows, row, [...names, ...(row.names ?? [])]);
  }

  /** Names move here from other images, and are remembered, the newest first. */
  #rename(rows: WritableRows<ImageRow>, row: ImageRow, names: readonly string[]): void {
    const unique = withoutDuplicates(names);
    rows.rename(row, unique);
    const history = withoutDuplicates([...[...unique].reverse(), ...(row['names-history'] ?? [])]);
    if (history.length > 0) row['names-history'] = history;
  }

  setNames(id: string, names: readonly string[]): Promise<void> {
    return this.#change(id, (rows, row) => this.#rename(rows, row, names));
  }

  addNames(id: string, names: readonly string[]): Promise<void> {
    return this.#change(id, (rows, row) => this.#rename(rows, row, [...names, ...(row.names ?? [])]));
  }

  removeNames(id: string, names: readonly string[]): Promise<void> {
    return this.#change(id, (rows, row) => this.removeNamesIn(rows, row.id, names));
  }

  setMetadata(id: string, metadata: string): Promise<void> {
    return this.#change(id, (_rows, row) => {
      row.metadata = metadata;
    });
  }

  async bigData(id: string, key: string): Promise<Uint8Array | undefined> {
    for (const { images, directory } of this.#bigDataPlaces()) {
      const found = await images.read((rows) => {
        const row = rows.find(id);
        return row && { data: readBigData(join(directory, row.id), key) };
      });
      if (found) return found.data;
    }
    throw noSuchImage(id);
  }

  #bigDataPlaces() {
    const { additional, images, places } = this.#foundation;
    return [
      { images, directory: this.#directory },
      ...additional.map((store) => ({
        images: store.images,
        directory: join(store.root, `${places.driverName}-images`),
      })),
    ];
  }

  setBigData(id: string, key: string, data: Uint8Array): Promise<void> {
    return this.#change(id, (_rows, row) => {
      writeBigData(join(this.#directory, row.id), row, key, data);
      row.digest ??= imageDigests(row)[0];
    });
  }

  async delete(id: string): Promise<void> {
    await this.#foundation.images.write((rows) => {
      const row = mustFind(rows, id);
      rows.remove(row);
      rows.save();
      this.removeData(row);
    });
  }

  /** Removes the big data of an image whose row is gone, for a caller that holds the rows. */
  removeData({ id }: ImageRow): void {
    rmSync(join(this.#directory, id), { recursive: true, force: true });
  }

  /** As {@link removeNames}, for a caller that holds the rows and saves them. */
  removeNamesIn(rows: WritableRows<ImageRow>, id: string, names: readonly string[]): void {
    const row = mustFind(rows, id);
    const left = (row.names ?? []).filter((name) => !names.includes(name));
    this.#rename(rows, row, left);
  }

  /** @throws StoreError `no-such-image` */
  mustFindIn(rows: Rows<ImageRow>, idOrName: string): ImageRow {
    return mustFind(rows, idOrName);
  }

  async #change(id: string, change: (rows: WritableRows<ImageRow>, row: ImageRow) => void): Promise<void> {
    await this.#pullUp(id);
    await this.#foundation.images.write((rows) => {
      const row = mustFind(rows, id);
      const before = JSON.stringify(row);
      change(rows, row);
      // A build from the cache names an image what it is named already: no reason to wait for the disk.
      if (JSON.stringify(row) === before) return;
      rows.touch(row);
      rows.save();
    });
  }

  /** An image of a read-only store is copied to the own one before its record is changed, as the original does. */
  async #pullUp(id: string): Promise<void> {
    if (await this.#foundation.images.read((rows) => rows.find(id) !== undefined)) return;
    const image = await this.get(id);
    if (!image) return;
    const bigData: { key: string; data: Uint8Array }[] = [];
    for (const key of image.bigDataNames) {
      const data = await this.bigData(image.id, key);
      if (data) bigData.push({ key, data });
    }
    const { names, topLayer, metadata, digest, created } = image;
    await this.create({ id: image.id, names, topLayer, metadata, digest, created, bigData });
  }
}

function mustFind(rows: Rows<ImageRow>, idOrName: string): ImageRow {
  const row = rows.find(idOrName);
  if (!row) throw noSuchImage(idOrName);
  return row;
}

function noSuchImage(idOrName: string): StoreError {
  return new StoreError(
    'no-such-image',
    `locating image with ID ${JSON.stringify(idOrName)}: image not known`,
  );
}
