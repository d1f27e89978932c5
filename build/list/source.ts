import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { parseManifest } from '../../image/manifest.ts';
import type { ImageReference, ImageSource, TransportContext } from '../../transport/contract.ts';
import { TransportError } from '../../transport/error.ts';
import { parseImageReference } from '../../transport/references.ts';
import { type ManifestList, serializeList } from './list.ts';

/**
 * A list of local storage as a source for copying: its images are read from wherever they were added from (local
 * storage, registries, layouts), its artifacts from the files and bytes that the list keeps.
 */
export function listReference(
  list: ManifestList,
  base: ImageReference,
  options: { readonly workingDirectory: string },
): ImageReference {
  return {
    ...base,
    transport: base.transport,
    within: base.within,
    policyIdentity: base.policyIdentity,
    policyNamespaces: base.policyNamespaces,
    openSource: async (context) => new ListSource(list, base, context, options),
    openDestination: (context) => base.openDestination(context),
  };
}

class ListSource implements ImageSource {
  readonly reference: ImageReference;
  readonly #list: ManifestList;
  readonly #context: TransportContext;
  readonly #options: { readonly workingDirectory: string };
  readonly #opened = new Map<string, Promise<ImageSource>>();
  /** Where a blob is, by its digest; known once its manifest was read. */
  readonly #places = new Map<Digest, ImageSource>();
  readonly #layerSources = new Map<Digest, ImageSource>();

  constructor(
    list: ManifestList,
    reference: ImageReference,
    context: TransportContext,
    options: { readonly workingDirectory: string },
  ) {
    this.reference = reference;
    this.#list = list;
    this.#context = context;
    this.#options = options;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const source of this.#opened.values()) await (await source)[Symbol.asyncDispose]();
  }

  async getManifest(instance?: Digest) {
    if (instance === undefined) {
      const bytes = serializeList(this.#list);
      return { bytes, mediaType: parseManifest(bytes).mediaType };
    }
    const artifact = this.#list.artifacts.manifests[instance];
    if (artifact !== undefined) {
      const bytes = Buffer.from(artifact, 'utf8');
      return { bytes, mediaType: parseManifest(bytes).mediaType };
    }
    const source = await this.#sourceOf(instance);
    const document = await manifestWithDigest(source, instance);
    const manifest = parseManifest(document.bytes, document.mediaType);
    this.#layerSources.set(instance, source);
    if (manifest.kind === 'image')
      for (const blob of [manifest.config, ...manifest.layers]) this.#places.set(blob.digest, source);
    const layers = await source.layersForCopy?.(instance);
    for (const blob of layers ?? []) this.#places.set(blob.digest, source);
    return document;
  }

  async getBlob(
    descriptor: Descriptor,
    options?: { readonly offset?: number; readonly signal?: AbortSignal },
  ) {
    const { detached, blobs } = this.#list.artifacts;
    const file = detached[descriptor.digest];
    if (file !== undefined) return { stream: createReadStream(file), sizeBytes: descriptor.size };
    const text = blobs[descriptor.digest];
    if (text !== undefined) {
      const bytes = Buffer.from(text, 'base64');
      return { stream: Readable.from([bytes]), sizeBytes: bytes.length };
    }
    if (descriptor.data !== undefined && descriptor.size <= 2) {
      const bytes = Buffer.from(descriptor.data, 'base64');
      return { stream: Readable.from([bytes]), sizeBytes: bytes.length };
    }
    const source = this.#places.get(descriptor.digest);
    if (!source)
      throw new TransportError('not-found', `no image of the list has the blob ${descriptor.digest}`);
    return source.getBlob(descriptor, options);
  }

  async getSignatures(instance?: Digest) {
    if (instance === undefined || this.#list.artifacts.manifests[instance] !== undefined) return [];
    return (await this.#sourceOf(instance)).getSignatures(instance).catch(() => []);
  }

  async layersForCopy(instance?: Digest): Promise<readonly Descriptor[] | undefined> {
    if (instance === undefined) return undefined;
    const source = this.#layerSources.get(instance);
    return source?.layersForCopy?.(instance);
  }

  async #sourceOf(instance: Digest): Promise<ImageSource> {
    const name = this.#list.instances.get(instance);
    if (name === undefined)
      throw new TransportError('not-found', `the list does not say where its image ${instance} is`);
    const known = this.#opened.get(name);
    if (known) return known;
    const opening = this.#open(name, instance);
    this.#opened.set(name, opening);
    return opening;
  }

  /** A name in local storage that meanwhile means another image is found by the digest instead. */
  async #open(name: string, instance: Digest): Promise<ImageSource> {
    const reference = await parseImageReference(name, this.#options);
    try {
      return await reference.openSource(this.#context);
    } catch (error) {
      const store =
        reference.transport === 'containers-storage' ? await this.#context.openStore?.() : undefined;
      const [record] = store ? await store.images.byDigest(instance) : [];
      if (!record) throw error;
      return (await parseImageReference(`containers-storage:@${record.id}`, this.#options)).openSource(
        this.#context,
      );
    }
  }
}

/** An image by digest from a source that is it, or a list with it. */
async function manifestWithDigest(source: ImageSource, instance: Digest) {
  const top = await source.getManifest();
  return digestOf(top.bytes) === instance ? top : source.getManifest(instance);
}
