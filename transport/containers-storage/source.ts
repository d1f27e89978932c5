import { Readable } from 'node:stream';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, tryParseDigest } from '../../image/digest.ts';
import { guessManifestMediaType, type ManifestDocument, parseManifest } from '../../image/manifest.ts';
import { layerMediaType, MEDIA_TYPE } from '../../image/media-type.ts';
import { EMPTY_LAYER, EMPTY_LAYER_DIGEST, type Schema1Layer, schema1Layers } from '../../image/schema1.ts';
import { parseSignatureBlob } from '../../image/signature.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import type { ImageRecord, LayerRecord, Store } from '../../store/storage/contract.ts';
import type { ImageSource, StoredSignature, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { MANIFEST_KEY, manifestKey, parseSignatureSizes, SIGNATURES_KEY, signatureKey } from './big-data.ts';
import type { StorageReference } from './reference.ts';
import { resolveImage } from './resolve.ts';

export async function openStorageSource(
  reference: StorageReference,
  store: Store,
  context: TransportContext,
): Promise<ImageSource> {
  const resolved = await resolveImage(reference, store, context.platform);
  return new StorageSource(resolved.reference, store, resolved.image);
}

/** The flag with the diffID that a config claims for a layer which was pulled by its table of contents. */
const EXPECTED_DIFF_ID = 'expected-layer-diffid';

/** Reads an image of local storage: the manifest as it was stored, layers as plain tar streams. */
class StorageSource implements ImageSource {
  readonly reference: StorageReference;
  readonly #store: Store;
  readonly #image: ImageRecord;
  #chain: Promise<readonly LayerRecord[]> | undefined;

  constructor(reference: StorageReference, store: Store, image: ImageRecord) {
    this.reference = reference;
    this.#store = store;
    this.#image = image;
  }

  async getManifest(instance?: Digest): Promise<ManifestDocument> {
    const wanted = instance ?? this.reference.named?.digest;
    const bytes =
      (wanted && (await this.#bigData(manifestKey(wanted)))) ??
      (instance === undefined ? await this.#bigData(MANIFEST_KEY) : undefined);
    if (bytes === undefined)
      throw new TransportError(
        'not-found',
        `reading manifest${instance ? ` for image instance ${instance}` : ''} of image ${this.#image.id}: it has none`,
      );
    return { bytes, mediaType: guessManifestMediaType(bytes) ?? '' };
  }

  async getBlob(
    descriptor: Descriptor,
    options: { readonly offset?: number; readonly signal?: AbortSignal } = {},
  ): Promise<BlobStream> {
    if (descriptor.digest === EMPTY_LAYER_DIGEST)
      return { stream: Readable.from([EMPTY_LAYER]), sizeBytes: EMPTY_LAYER.length };
    const layer =
      (await this.#layers()).find((candidate) => plainDigest(candidate) === descriptor.digest) ??
      (await this.#store.layers.byDiffId(descriptor.digest))[0];
    if (layer !== undefined) return await this.#store.layers.diff(layer.id, { signal: options.signal });
    const bytes = await this.#bigData(descriptor.digest);
    if (bytes === undefined)
      throw new TransportError('not-found', `blob ${descriptor.digest} is not in image ${this.#image.id}`);
    return { stream: Readable.from([bytes]), sizeBytes: bytes.length };
  }

  async getSignatures(instance?: Digest): Promise<readonly StoredSignature[]> {
    const sizes = parseSignatureSizes(this.#image.metadata);
    const lengths = instance === undefined ? sizes.own : (sizes.byManifest.get(instance) ?? []);
    if (lengths.length === 0) return [];
    const key = instance === undefined ? SIGNATURES_KEY : signatureKey(instance);
    const bytes = (await this.#bigData(key)) ?? Buffer.alloc(0);
    const total = lengths.reduce((sum, length) => sum + length, 0);
    if (total !== bytes.length)
      throw new TransportError(
        'size-mismatch',
        `the signatures of image ${this.#image.id} have ${bytes.length} bytes instead of ${total}`,
      );
    let at = 0;
    return lengths.map((length) => {
      at += length;
      return parseSignatureBlob(bytes.subarray(at - length, at));
    });
  }

  /** The layers as they can be given: plain, in place of those that the manifest has compressed. */
  async layersForCopy(instance?: Digest): Promise<readonly Descriptor[] | undefined> {
    const document = await this.getManifest(instance);
    const manifest = parseManifest(document.bytes, document.mediaType);
    if (manifest.kind === 'index') return undefined;
    const chain = await this.#layers();
    const described = manifest.kind === 'image' ? manifest.layers : schema1Layers(manifest);
    const real = described.filter(isReal).length;
    if (chain.length !== real)
      throw new TransportError(
        'size-mismatch',
        `image ${this.#image.id} has ${chain.length} layers in storage but ${real} in its manifest`,
      );
    const format = manifest.kind === 'image' ? manifest.format : 'docker';
    let next = 0;
    return described.map((layer) => (isReal(layer) ? plainLayer(chain[next++]!, layer, format) : EMPTY));
  }

  /** Base first. */
  #layers(): Promise<readonly LayerRecord[]> {
    this.#chain ??= this.#readChain();
    return this.#chain;
  }

  async #readChain(): Promise<LayerRecord[]> {
    const chain: LayerRecord[] = [];
    const byId = new Map((await this.#store.layers.list()).map((layer) => [layer.id, layer]));
    for (let id = this.#image.topLayer; id !== undefined && id !== ''; ) {
      const layer = byId.get(id);
      if (layer === undefined || chain.includes(layer))
        throw new TransportError(
          'not-found',
          `reading layer ${id} in image ${this.#image.id}: layer not known`,
        );
      chain.unshift(layer);
      id = layer.parent;
    }
    return chain;
  }

  async #bigData(key: string): Promise<Uint8Array | undefined> {
    return await this.#store.images.bigData(this.#image.id, key);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** What schema 1 has for a step that changes no file; storage keeps nothing for it. */
const EMPTY: Descriptor = {
  mediaType: MEDIA_TYPE.dockerLayerGzip,
  digest: EMPTY_LAYER_DIGEST,
  size: EMPTY_LAYER.length,
};

function isReal(layer: Descriptor | Schema1Layer): boolean {
  return !('empty' in layer && layer.empty);
}

function plainLayer(
  layer: LayerRecord,
  described: Descriptor | Schema1Layer,
  format: 'oci' | 'docker',
): Descriptor {
  const annotations = 'annotations' in described ? described.annotations : undefined;
  const kept = Object.entries(annotations ?? {}).filter(([key]) => !CHUNKED_ANNOTATIONS.has(key));
  return {
    mediaType: layerMediaType(format, 'none'),
    digest: mustHaveDigest(layer),
    size: layer.diffSize ?? -1,
    ...(kept.length > 0 ? { annotations: Object.fromEntries(kept) } : {}),
  };
}

/** Annotations that describe a compressed form which is not given. */
const CHUNKED_ANNOTATIONS = new Set([
  'io.github.containers.zstd-chunked.manifest-position',
  'io.github.containers.zstd-chunked.manifest-checksum',
  'io.github.containers.zstd-chunked.tarsplit-position',
  'io.github.containers.zstd-chunked.tarsplit-checksum',
  'containerd.io/snapshot/stargz/toc.digest',
  'io.containers.estargz.uncompressed-size',
]);

function plainDigest(layer: LayerRecord): Digest | undefined {
  if (layer.diffId !== undefined) return layer.diffId;
  const claimed = layer.tocDigest === undefined ? undefined : layer.flags?.[EXPECTED_DIFF_ID];
  return typeof claimed === 'string' ? tryParseDigest(claimed) : undefined;
}

function mustHaveDigest(layer: LayerRecord): Digest {
  const digest = plainDigest(layer);
  if (digest !== undefined) return digest;
  throw new TransportError(
    'not-found',
    `uncompressed digest for layer ${JSON.stringify(layer.id)} is unknown`,
  );
}
