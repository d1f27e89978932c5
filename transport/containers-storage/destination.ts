import { type ImageConfig, parseImageConfig } from '../../image/config.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf, encodedOf } from '../../image/digest.ts';
import { ImageError } from '../../image/error.ts';
import { MANIFEST_LIMIT_BYTES } from '../../image/json.ts';
import {
  type ImageManifest,
  type ManifestDocument,
  manifestDigest,
  matchesManifestDigest,
  parseManifest,
  type Schema1Manifest,
} from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { formatReference } from '../../image/reference.ts';
import { schema1Config, schema1ConfigBytes, schema1Layers } from '../../image/schema1.ts';
import { formatSignatureBlob } from '../../image/signature.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import type { LayerRecord, Store } from '../../store/storage/contract.ts';
import type { ImageDestination, PutBlobOptions, StoredSignature, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { formatSignatureSizes, MANIFEST_KEY, manifestKey, SIGNATURES_KEY, signatureKey } from './big-data.ts';
import { isImageId } from './name.ts';
import { PendingBlobs } from './pending-blobs.ts';
import { PendingLayers } from './pending-layers.ts';
import type { StorageReference } from './reference.ts';
import { completeReference } from './resolve.ts';

export async function openStorageDestination(
  reference: StorageReference,
  store: Store,
  context: TransportContext,
): Promise<ImageDestination> {
  return new StorageDestination(await completeReference(reference, store), store, context.temporaryDirectory);
}

/**
 * Writes one image into local storage. Layers are unpacked as they arrive; nothing is visible before
 * {@link ImageDestination.commit}, which makes the layers, the image and its name in that order.
 */
class StorageDestination implements ImageDestination {
  readonly reference: StorageReference;
  readonly manifestTypes = [
    MEDIA_TYPE.ociManifest,
    MEDIA_TYPE.dockerManifest,
    MEDIA_TYPE.dockerSchema1Signed,
    MEDIA_TYPE.dockerSchema1,
  ];
  readonly acceptsIndexes = false;
  readonly layerCompression = 'preserve';
  readonly acceptsForeignLayers = false;
  readonly signatureKinds = ['simple', 'sigstore'] as const;
  readonly requiredDigest: Digest | undefined;
  readonly #store: Store;
  readonly #blobs: PendingBlobs;
  readonly #layers: PendingLayers;
  readonly #configs = new Map<Digest, Uint8Array>();
  #manifest: ManifestDocument | undefined;
  #topLevel: ManifestDocument | undefined;
  #signatures: readonly StoredSignature[] | undefined;
  readonly #childSignatures = new Map<Digest, readonly StoredSignature[]>();

  constructor(reference: StorageReference, store: Store, temporaryDirectory: string) {
    this.reference = reference;
    this.requiredDigest = reference.named?.digest;
    this.#store = store;
    this.#blobs = new PendingBlobs(temporaryDirectory);
    this.#layers = new PendingLayers(store, this.#blobs);
  }

  async tryReuseBlob(descriptor: Descriptor, options: PutBlobOptions & { readonly substitute?: boolean }) {
    if (options.isConfig) return undefined;
    const { digest } = descriptor;
    const { layers } = this.#store;
    if (this.#layers.diffIdOf(digest) !== undefined || this.#blobs.fileOf(digest) !== undefined)
      return { descriptor, how: 'present' as const };
    const plain = (await layers.byDiffId(digest))[0];
    if (plain !== undefined) return this.#reused(descriptor, digest, digest, plain.diffSize);
    const compressed = (await layers.byCompressedDigest(digest)).find((layer) => layer.diffId !== undefined);
    if (compressed !== undefined)
      return this.#reused(descriptor, digest, compressed.diffId!, compressed.compressedSize);
    return undefined;
  }

  #reused(descriptor: Descriptor, digest: Digest, diffId: Digest, size: number | undefined) {
    this.#layers.note(digest, diffId);
    const known = descriptor.size >= 0 ? descriptor.size : (size ?? -1);
    return { descriptor: { ...descriptor, size: known }, how: 'reused' as const };
  }

  async putBlob(
    blob: BlobStream,
    descriptor: { readonly digest?: Digest; readonly size?: number; readonly mediaType: string },
    options: PutBlobOptions,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    if (descriptor.mediaType.endsWith('+encrypted')) throw encrypted(descriptor.digest, options.diffId);
    if (options.isConfig) return await this.#putConfig(blob, descriptor.digest);
    return await this.#layers.put(
      blob.stream,
      { digest: descriptor.digest, verified: options.verified === true, diffId: options.diffId },
      options.signal,
    );
  }

  async #putConfig(blob: BlobStream, expected: Digest | undefined) {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of blob.stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MANIFEST_LIMIT_BYTES)
        throw new TransportError(
          'size-mismatch',
          `config exceeded maximum allowed size of ${MANIFEST_LIMIT_BYTES} bytes`,
        );
      chunks.push(chunk);
    }
    const bytes = Buffer.concat(chunks);
    const digest = expected ?? digestOf(bytes);
    if (!matchesManifestDigest(bytes, digest))
      throw new TransportError(
        'digest-mismatch',
        `config has digest ${digestOf(bytes)}, not ${digest} as expected`,
      );
    this.#configs.set(digest, bytes);
    return { digest, size };
  }

  async putManifest(bytes: Uint8Array, mediaType: string): Promise<void> {
    this.#manifest = { bytes, mediaType };
  }

  /** So that the image is found by the digest of its index too. */
  async keepIndex(index: ManifestDocument): Promise<void> {
    this.#topLevel = index;
  }

  async putSignatures(signatures: readonly StoredSignature[], instance?: Digest): Promise<void> {
    if (instance === undefined) this.#signatures = signatures;
    else this.#childSignatures.set(instance, signatures);
  }

  async commit(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#manifest === undefined) throw new Error('commit before the manifest was put');
    const manifest = parseManifest(this.#manifest.bytes, this.#manifest.mediaType);
    if (manifest.kind === 'index')
      throw new TransportError('unsupported', 'local storage takes an image, not an index');
    this.#checkRequiredDigest(this.#manifest);
    const known = manifest.kind === 'image' ? this.#readConfig(manifest) : undefined;
    try {
      const layers = await this.#layers.register(storedLayers(manifest), options.signal);
      checkDiffIds(layers, known);
      const config = manifest.kind === 'image' ? known : schema1Config(manifest);
      await this.#store.images.create({
        id: this.#imageId(manifest, layers),
        topLayer: layers.at(-1)?.id,
        created: config?.created,
        names: this.reference.named === undefined ? [] : [formatReference(this.reference.named)],
        ...this.#bigData(this.#manifest, manifest),
      });
    } catch (error) {
      await this.#layers.undo();
      throw error;
    }
  }

  #checkRequiredDigest(manifest: ManifestDocument): void {
    const { requiredDigest } = this;
    if (requiredDigest === undefined) return;
    const candidates = this.#topLevel === undefined ? [manifest] : [manifest, this.#topLevel];
    if (candidates.some(({ bytes }) => matchesManifestDigest(bytes, requiredDigest))) return;
    throw new TransportError(
      'digest-mismatch',
      `Manifest to be saved does not match expected digest ${requiredDigest}`,
    );
  }

  /** The config where it is an image's; an artifact's may be anything. */
  #readConfig(manifest: ImageManifest): ImageConfig | undefined {
    const bytes = this.#configs.get(manifest.config.digest);
    if (bytes === undefined)
      throw new TransportError(
        'not-found',
        `config ${manifest.config.digest} was not put before the manifest`,
      );
    try {
      return parseImageConfig(bytes);
    } catch (error) {
      if (error instanceof ImageError) return undefined;
      throw error;
    }
  }

  #imageId(manifest: ImageManifest | Schema1Manifest, layers: readonly LayerRecord[]): string {
    const digest = manifest.kind === 'image' ? manifest.config.digest : schema1Id(manifest, layers);
    const id = this.reference.name.id ?? encodedOf(digest);
    if (isImageId(id)) return id;
    throw new TransportError('unsupported', `local storage needs a sha256 config digest, not ${digest}`);
  }

  #bigData(document: ManifestDocument, manifest: ImageManifest | Schema1Manifest) {
    const digest = manifestDigest(document.bytes);
    const config = manifest.kind === 'image' ? manifest.config.digest : undefined;
    const items: { readonly key: string; readonly data: Uint8Array }[] = config
      ? [{ key: config, data: this.#configs.get(config)! }]
      : [];
    if (this.#topLevel !== undefined)
      items.push({ key: manifestKey(manifestDigest(this.#topLevel.bytes)), data: this.#topLevel.bytes });
    items.push(
      { key: manifestKey(digest), data: document.bytes },
      { key: MANIFEST_KEY, data: document.bytes },
    );
    const own = (this.#signatures ?? []).map(formatSignatureBlob);
    const byManifest = new Map(
      [...this.#childSignatures].map(([key, list]) => [key, list.map(formatSignatureBlob)]),
    );
    if (this.#signatures !== undefined) byManifest.set(digest, own);
    if (own.length > 0) items.push({ key: SIGNATURES_KEY, data: Buffer.concat(own) });
    for (const [key, blobs] of byManifest) items.push({ key: signatureKey(key), data: Buffer.concat(blobs) });
    const lengths = (blobs: readonly Uint8Array[]) => blobs.map((blob) => blob.length);
    return {
      bigData: items,
      metadata: formatSignatureSizes({
        own: lengths(own),
        byManifest: new Map([...byManifest].map(([key, blobs]) => [key, lengths(blobs)])),
      }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#layers[Symbol.asyncDispose]();
    await this.#blobs[Symbol.asyncDispose]();
  }
}

function encrypted(digest: Digest | undefined, diffId: Digest | undefined): TransportError {
  return new TransportError(
    'unsupported',
    `layer ${digest ?? ''} is encrypted: its content does not match config's DiffID ${diffId ?? ''}`,
    { hint: 'give the private key of a recipient with --decryption-key' },
  );
}

/** Layers of schema 1 that change nothing are not kept. */
function storedLayers(manifest: ImageManifest | Schema1Manifest): readonly { readonly digest: Digest }[] {
  return manifest.kind === 'image' ? manifest.layers : schema1Layers(manifest).filter(({ empty }) => !empty);
}

/** The digest of the config that the image would have in schema 2. */
function schema1Id(manifest: Schema1Manifest, layers: readonly LayerRecord[]): Digest {
  const diffIds = layers.map(({ diffId }) => diffId).filter((diffId) => diffId !== undefined);
  return digestOf(schema1ConfigBytes(manifest, diffIds));
}

/** The config says what the layers are; one that says otherwise would make an image that nobody can push again. */
function checkDiffIds(layers: readonly LayerRecord[], config: ImageConfig | undefined): void {
  const claimed = config?.rootfs.diff_ids ?? [];
  if (claimed.length !== layers.length) return;
  for (const [index, layer] of layers.entries()) {
    if (layer.diffId === claimed[index]) continue;
    throw new TransportError(
      'digest-mismatch',
      `layer ${index + 1} has diffID ${layer.diffId}, but the config says ${claimed[index]}`,
    );
  }
}
