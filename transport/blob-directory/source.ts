import { withCompression } from '../../image/convert.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import type { Digest } from '../../image/digest.ts';
import { MANIFEST_LIMIT_BYTES } from '../../image/json.ts';
import { guessManifestMediaType, type ManifestDocument, parseManifest } from '../../image/manifest.ts';
import { compressionOf, isLayerMediaType } from '../../image/media-type.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { readDocument } from '../blob-file.ts';
import type { ImageReference, ImageSource, StoredSignature } from '../contract.ts';

import { type BlobDirectory, openBlob } from './directory.ts';

/** A source whose blobs come from a directory where it has them, in their compressed form where that is wanted. */
export class CachedSource implements ImageSource {
  readonly #inner: ImageSource;
  readonly #blobs: BlobDirectory;
  readonly #compression: 'gzip' | 'zstd' | undefined;

  constructor(inner: ImageSource, blobs: BlobDirectory, compression: 'gzip' | 'zstd' | undefined) {
    this.#inner = inner;
    this.#blobs = blobs;
    this.#compression = compression;
  }

  get reference(): ImageReference {
    return this.#inner.reference;
  }

  get parallelBlobs(): number | undefined {
    return this.#inner.parallelBlobs;
  }

  async getManifest(instance?: Digest): Promise<ManifestDocument> {
    const kept = instance && (await this.#blobs.find(instance));
    if (!kept || kept.isConfig) return this.#inner.getManifest(instance);
    const bytes = await readDocument(kept.path, MANIFEST_LIMIT_BYTES, 'manifest');
    return { bytes, mediaType: guessManifestMediaType(bytes) ?? '' };
  }

  async getBlob(
    descriptor: Descriptor,
    options: { readonly offset?: number; readonly signal?: AbortSignal } = {},
  ): Promise<BlobStream> {
    const kept = options.offset ? undefined : await this.#blobs.find(descriptor.digest, descriptor.size);
    return kept ? openBlob(kept) : this.#inner.getBlob(descriptor, options);
  }

  getSignatures(instance?: Digest): Promise<readonly StoredSignature[]> {
    return this.#inner.getSignatures(instance);
  }

  async layersForCopy(instance?: Digest): Promise<readonly Descriptor[] | undefined> {
    const own = await this.#inner.layersForCopy?.(instance);
    const compression = this.#compression;
    // What is signed keeps its layers as they are.
    if (compression === undefined || (await this.getSignatures(instance)).length > 0) return own;
    const { bytes, mediaType } = await this.getManifest(instance);
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind !== 'image') return own;
    const { format } = manifest;
    if (format === 'docker' && compression !== 'gzip') return own;
    return Promise.all(
      (own ?? manifest.layers).map((layer) => this.#compressedForm(layer, format, compression)),
    );
  }

  async #compressedForm(
    layer: Descriptor,
    format: 'oci' | 'docker',
    compression: 'gzip' | 'zstd',
  ): Promise<Descriptor> {
    if (!isLayerMediaType(layer.mediaType) || compressionOf(layer.mediaType) !== 'none') return layer;
    const forms = await this.#blobs.compressedForms(layer.digest);
    const form = forms.find((candidate) => candidate.compression === compression);
    if (!form) return layer;
    return {
      ...layer,
      mediaType: withCompression(layer.mediaType, format, compression),
      digest: form.blob.digest,
      size: form.blob.sizeBytes,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#inner[Symbol.asyncDispose]());
  }
}
