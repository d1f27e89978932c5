import { type ImageConfig, parseImageConfig } from '../../image/config.ts';
import type { Digest } from '../../image/digest.ts';
import { type Manifest, parseManifest } from '../../image/manifest.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { readStoredConfig, readStoredImage } from './stored-image.ts';

/**
 * Which images of a store were built on which, as containers/common's libimage finds out: a child has its parent's
 * layers and its parent's history with one entry more. A snapshot; documents are read when first needed.
 */
export class ImageRelations {
  readonly #store: Store;
  readonly #images: readonly ImageRecord[];
  readonly #configs = new Map<string, Promise<ImageConfig | undefined>>();
  readonly #manifests = new Map<string, Promise<Manifest | undefined>>();
  #listed: Promise<ReadonlySet<Digest>> | undefined;

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
    const reading = this.#store.images
      .bigData(record.id, 'manifest')
      .then((bytes) => bytes && readable(() => parseManifest(bytes)));
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
    const bytes = await this.#store.images.bigData(record.id, manifest.config.digest);
    return bytes && readable(() => parseImageConfig(bytes));
  }

  async children(parent: ImageRecord): Promise<ImageRecord[]> {
    const config = await this.config(parent);
    if (!config) return [];
    const children: ImageRecord[] = [];
    for (const candidate of this.#images) {
      if (candidate.id === parent.id) continue;
      const other = await this.config(candidate);
      if (other && isChildOf(other, config)) children.push(candidate);
    }
    return children;
  }

  async parent(child: ImageRecord): Promise<ImageRecord | undefined> {
    const config = await this.config(child);
    if (!config) return undefined;
    for (const candidate of this.#images) {
      if (candidate.id === child.id) continue;
      const other = await this.config(candidate);
      if (other && isChildOf(config, other)) return candidate;
    }
    return undefined;
  }

  /** Without a name, and something was built on it. */
  async isIntermediate(record: ImageRecord): Promise<boolean> {
    return record.names.length === 0 && (await this.children(record)).length > 0;
  }

  /** Without a name, nothing built on it, and in no manifest list. */
  async isDangling(record: ImageRecord): Promise<boolean> {
    if (record.names.length > 0 || (await this.children(record)).length > 0) return false;
    if (record.digest === undefined) return true;
    return !(await this.#listedDigests()).has(record.digest);
  }

  #listedDigests(): Promise<ReadonlySet<Digest>> {
    this.#listed ??= this.#readLists();
    return this.#listed;
  }

  async #readLists(): Promise<ReadonlySet<Digest>> {
    const digests = new Set<Digest>();
    for (const record of this.#images) {
      if (record.topLayer) continue;
      const manifest = await this.manifest(record);
      if (manifest?.kind === 'index') for (const entry of manifest.manifests) digests.add(entry.digest);
    }
    return digests;
  }
}

function isChildOf(child: ImageConfig, parent: ImageConfig): boolean {
  const layers = parent.rootfs.diff_ids;
  const history = parent.history ?? [];
  if (layers.some((diffId, index) => child.rootfs.diff_ids[index] !== diffId)) return false;
  const own = child.history ?? [];
  if (own.length !== history.length + 1) return false;
  return history.every((entry, index) => JSON.stringify(entry) === JSON.stringify(own[index]));
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
