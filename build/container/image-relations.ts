import { type ImageConfig, parseImageConfig } from '../../image/config.ts';
import { type Manifest, parseManifest } from '../../image/manifest.ts';
import { StoreError } from '../../store/error.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { type ImageDocuments, ImageFamily } from './image-family.ts';
import { readStoredConfig, readStoredImage } from './stored-image.ts';

/** The documents and the family of a store's images. A snapshot; documents are read when first needed. */
export class ImageRelations {
  readonly #store: Store;
  readonly #images: readonly ImageRecord[];
  readonly #configs = new Map<string, Promise<ImageConfig | undefined>>();
  readonly #manifests = new Map<string, Promise<Manifest | undefined>>();
  #family: Promise<ImageFamily> | undefined;

  constructor(store: Store, images: readonly ImageRecord[]) {
    this.#store = store;
    this.#images = images;
  }

  /** The image's config; undefined where it is missing, damaged, or a manifest list's. */
  config(record: ImageRecord): Promise<ImageConfig | undefined> {
    const known = this.#configs.get(record.id);
    if (known) return known;
    const reading = this.#readConfig(record);
    this.#configs.set(record.id, reading);
    return reading;
  }

  /** The image's manifest; undefined where it is missing or damaged. */
  manifest(record: ImageRecord): Promise<Manifest | undefined> {
    const known = this.#manifests.get(record.id);
    if (known) return known;
    const reading = this.#bytes(record, 'manifest').then(
      (bytes) => bytes && readable(() => parseManifest(bytes)),
    );
    this.#manifests.set(record.id, reading);
    return reading;
  }

  async #readConfig(record: ImageRecord): Promise<ImageConfig | undefined> {
    const manifest = await this.manifest(record);
    if (manifest === undefined || manifest.kind === 'index') return undefined;
    if (manifest.kind === 'schema1')
      return readStoredConfig(this.#store, await readStoredImage(this.#store, record)).then(
        ({ config }) => config,
        () => undefined,
      );
    const bytes = await this.#bytes(record, manifest.config.digest);
    return bytes && readable(() => parseImageConfig(bytes));
  }

  /** An image may go while the others are looked at. */
  async #bytes({ id }: ImageRecord, key: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#store.images.bigData(id, key);
    } catch (error) {
      if (error instanceof StoreError && error.code === 'no-such-image') return undefined;
      throw error;
    }
  }

  async parent(child: ImageRecord): Promise<ImageRecord | undefined> {
    return (await this.#whole()).parent(child.id);
  }

  /** Without a name, and something was built on it. */
  async isIntermediate({ id, names }: ImageRecord): Promise<boolean> {
    return names.length === 0 && (await this.#whole()).hasChildren(id);
  }

  /** Without a name, nothing built on it, and in no manifest list. */
  async isDangling(record: ImageRecord): Promise<boolean> {
    return record.names.length === 0 && (await this.#whole()).isDangling(record);
  }

  #whole(): Promise<ImageFamily> {
    this.#family ??= this.documents().then(
      (documents) => new ImageFamily(this.#images, ({ id }) => documents.get(id) ?? {}),
    );
    return this.#family;
  }

  /** The documents of all images, by id. */
  async documents(): Promise<ReadonlyMap<string, ImageDocuments>> {
    const documents = new Map<string, ImageDocuments>();
    for (const record of this.#images)
      documents.set(record.id, { config: await this.config(record), manifest: await this.manifest(record) });
    return documents;
  }
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
