import type { Descriptor } from '../../image/descriptor.ts';
import type { Digest } from '../../image/digest.ts';
import { type ManifestDocument, manifestDigest } from '../../image/manifest.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import type { ImageDestination, PutBlobOptions, StoredSignature } from '../contract.ts';
import { type BlobDirectory, openBlob } from './directory.ts';

type Reuse = ImageDestination['tryReuseBlob'];

/** A destination whose blobs and manifests are kept in a directory on their way, and taken from there again. */
export class CachedDestination implements ImageDestination {
  readonly #inner: ImageDestination;
  readonly #blobs: BlobDirectory;

  constructor(inner: ImageDestination, blobs: BlobDirectory) {
    this.#inner = inner;
    this.#blobs = blobs;
  }

  get reference() {
    return this.#inner.reference;
  }

  get manifestTypes() {
    return this.#inner.manifestTypes;
  }

  get acceptsIndexes() {
    return this.#inner.acceptsIndexes;
  }

  get layerCompression() {
    return this.#inner.layerCompression;
  }

  get acceptsForeignLayers() {
    return this.#inner.acceptsForeignLayers;
  }

  get signatureKinds() {
    return this.#inner.signatureKinds;
  }

  get parallelBlobs() {
    return this.#inner.parallelBlobs;
  }

  get requiredDigest() {
    return this.#inner.requiredDigest;
  }

  get embedsName() {
    return this.#inner.embedsName;
  }

  async tryReuseBlob(descriptor: Descriptor, options: Parameters<Reuse>[1]): ReturnType<Reuse> {
    const found = await this.#inner.tryReuseBlob(descriptor, options);
    if (found) return found;
    const kept = await this.#blobs.find(descriptor.digest, descriptor.size);
    if (!kept || kept.isConfig !== options.isConfig) return undefined;
    await this.#inner.putBlob(openBlob(kept), descriptor, options);
    return { descriptor: { ...descriptor, size: kept.sizeBytes }, how: 'reused' };
  }

  async putBlob(
    blob: BlobStream,
    descriptor: Parameters<ImageDestination['putBlob']>[1],
    options: PutBlobOptions,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const { digest, size } = descriptor;
    const kept = await this.#blobs.put(blob, { digest, size }, options);
    const named = { ...descriptor, digest: kept.digest, size: kept.sizeBytes };
    return this.#inner.putBlob(openBlob(kept), named, { ...options, verified: false });
  }

  async putManifest(bytes: Uint8Array, mediaType: string, instance?: Digest): Promise<void> {
    await this.#blobs.putManifest(manifestDigest(bytes), bytes);
    await this.#inner.putManifest(bytes, mediaType, instance);
  }

  putSignatures(signatures: readonly StoredSignature[], instance?: Digest): Promise<void> {
    return this.#inner.putSignatures(signatures, instance);
  }

  async keepIndex(index: ManifestDocument): Promise<void> {
    await this.#inner.keepIndex?.(index);
  }

  commit(options?: { readonly signal?: AbortSignal }): Promise<void> {
    return this.#inner.commit(options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#inner[Symbol.asyncDispose]());
  }
}
