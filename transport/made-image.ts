import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { ImageConfig } from '../image/config.ts';
import { ociConfigBytes } from '../image/convert.ts';
import type { Descriptor } from '../image/descriptor.ts';
import { type Digest, digestOf } from '../image/digest.ts';
import type { ManifestDocument } from '../image/manifest.ts';
import { MEDIA_TYPE } from '../image/media-type.ts';
import { serializeManifest } from '../image/serialize.ts';
import type { BlobStream } from '../store/blob/contract.ts';
import type { ImageReference, ImageSource, StoredSignature } from './contract.ts';
import { TransportError } from './error.ts';

/** A layer in a file. */
export interface LayerFile {
  readonly path: string;
  readonly descriptor: Descriptor;
}

/** A source whose config and manifest are made here, around layers that are files. */
export class MadeImageSource implements ImageSource {
  readonly reference: ImageReference;
  readonly #layers: readonly LayerFile[];
  readonly #config: Uint8Array;
  readonly #configDigest: Digest;
  readonly #close: () => Promise<void>;

  /** @param close removes temporary files */
  constructor(
    reference: ImageReference,
    layers: readonly LayerFile[],
    config: ImageConfig,
    close: () => Promise<void>,
  ) {
    this.reference = reference;
    this.#layers = layers;
    this.#config = ociConfigBytes(config);
    this.#configDigest = digestOf(this.#config);
    this.#close = close;
  }

  async getManifest(): Promise<ManifestDocument> {
    const mediaType = MEDIA_TYPE.ociManifest;
    const bytes = serializeManifest({
      kind: 'image',
      format: 'oci',
      mediaType,
      config: { mediaType: MEDIA_TYPE.ociConfig, digest: this.#configDigest, size: this.#config.length },
      layers: this.#layers.map(({ descriptor }) => descriptor),
    });
    return { bytes, mediaType };
  }

  async getBlob({ digest }: Descriptor): Promise<BlobStream> {
    if (digest === this.#configDigest)
      return { stream: Readable.from([this.#config]), sizeBytes: this.#config.length };
    const layer = this.#layers.find(({ descriptor }) => descriptor.digest === digest);
    if (!layer) throw new TransportError('not-found', `no blob with digest ${JSON.stringify(digest)} found`);
    const stream = createReadStream(layer.path, { highWaterMark: 1 << 20 });
    return { stream, sizeBytes: layer.descriptor.size };
  }

  async getSignatures(): Promise<readonly StoredSignature[]> {
    return [];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}
