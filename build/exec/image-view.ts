import type { HistoryEntry, ImageConfig } from '../../image/config.ts';
import type { Digest } from '../../image/digest.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { readStoredConfig, readStoredImage } from '../container/stored-image.ts';

/** What the build looks at in a stored image. */
export interface ImageView {
  readonly record: ImageRecord;
  readonly format: 'oci' | 'docker';
  readonly config: ImageConfig;
  readonly configBytes: Uint8Array;
  readonly annotations: Readonly<Record<string, string>>;
  readonly history: readonly HistoryEntry[];
  readonly diffIds: readonly Digest[];
  readonly manifest: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** Reads images once; an image under an id never changes but for its names. */
export class ImageViews {
  readonly #store: Store;
  readonly #views = new Map<string, Promise<ImageView | undefined>>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Undefined for indexes, artifacts and images whose documents are not all here. */
  get(record: ImageRecord): Promise<ImageView | undefined> {
    const known = this.#views.get(record.id);
    if (known) return known;
    const view = this.#read(record);
    this.#views.set(record.id, view);
    return view;
  }

  async byId(id: string): Promise<ImageView | undefined> {
    const record = await this.#store.images.get(id);
    return record && this.get(record);
  }

  async #read(record: ImageRecord): Promise<ImageView | undefined> {
    try {
      const image = await readStoredImage(this.#store, record);
      if (image.manifest.kind === 'index') return undefined;
      const { config, configBytes } = await readStoredConfig(this.#store, image);
      return {
        record,
        format: image.manifest.kind === 'image' ? image.manifest.format : 'docker',
        config,
        configBytes,
        annotations: image.manifest.kind === 'image' ? (image.manifest.annotations ?? {}) : {},
        history: config.history ?? [],
        diffIds: config.rootfs.diff_ids,
        manifest: image.manifestBytes,
        mediaType: image.manifest.mediaType,
        digest: image.digest,
      };
    } catch {
      // Another process may be writing or removing it; it is no candidate then.
      return undefined;
    }
  }
}
