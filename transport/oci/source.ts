import type { Descriptor } from '../../image/descriptor.ts';
import { algorithmOf, type Digest, digestOf } from '../../image/digest.ts';
import { MANIFEST_LIMIT_BYTES } from '../../image/json.ts';
import { guessManifestMediaType, type ManifestDocument, parseManifest } from '../../image/manifest.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import type { ImageReference, ImageSource, ReferrerLister, StoredSignature } from '../contract.ts';
import { TransportError } from '../error.ts';
import { type LayoutFiles, type LayoutIndex, parseLayoutIndex, REF_NAME, selectPosition } from './layout.ts';
import type { LayoutSelector } from './name.ts';

/** @throws TransportError `not-found`, `bad-reference`, `bad-layout` */
export async function openLayoutSource(
  reference: ImageReference,
  selector: LayoutSelector,
  files: LayoutFiles,
): Promise<LayoutSource> {
  try {
    const index = parseLayoutIndex(await files.readIndex(), files.where);
    const position =
      (await onlyImage(index, selector, files)) ?? selectPosition(index, selector, files.where);
    return new LayoutSource(reference, files, index, index.manifests[position] as Descriptor);
  } catch (error) {
    await files[Symbol.asyncDispose]();
    throw error;
  }
}

/** Cosign's names of what describes an image. */
const COSIGN_NAME = /^sha256-[0-9a-f]{64}\.(?:sig|att|sbom)$/;

/** Without a name: the one entry that does not merely describe another one; undefined where that does not decide. */
async function onlyImage(
  { manifests }: LayoutIndex,
  selector: LayoutSelector,
  files: LayoutFiles,
): Promise<number | undefined> {
  const named = selector.position !== undefined || selector.digest !== undefined || selector.name !== '';
  if (named || manifests.length < 2) return undefined;
  const images: number[] = [];
  for (const [position, { digest, mediaType, annotations }] of manifests.entries()) {
    if (COSIGN_NAME.test(annotations?.[REF_NAME] ?? '')) continue;
    const bytes = await files.readBlob(digest, MANIFEST_LIMIT_BYTES, 'manifest');
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind === 'schema1' || manifest.subject === undefined) images.push(position);
    if (images.length > 1) return undefined;
  }
  return images[0];
}

/** One image of an OCI layout. Its manifest is checked against the descriptor in index.json. */
export class LayoutSource implements ImageSource, ReferrerLister {
  readonly reference: ImageReference;
  readonly #files: LayoutFiles;
  readonly #index: LayoutIndex;
  readonly #descriptor: Descriptor;

  constructor(reference: ImageReference, files: LayoutFiles, index: LayoutIndex, descriptor: Descriptor) {
    this.reference = reference;
    this.#files = files;
    this.#index = index;
    this.#descriptor = descriptor;
  }

  async getManifest(instance?: Digest): Promise<ManifestDocument> {
    const descriptor =
      instance === undefined
        ? this.#descriptor
        : this.#index.manifests.find((entry) => entry.digest === instance);
    const digest = instance ?? this.#descriptor.digest;
    const bytes = await this.#files.readBlob(digest, MANIFEST_LIMIT_BYTES, 'manifest');
    if (digestOf(bytes, algorithmOf(digest)) !== digest || (descriptor && descriptor.size !== bytes.length))
      throw new TransportError(
        'digest-mismatch',
        `manifest ${digest} in ${this.#files.where} does not match its descriptor (${bytes.length} bytes, digest ${digestOf(bytes)})`,
        { hint: 'the layout is damaged: copy the image into it again' },
      );
    return { bytes, mediaType: descriptor?.mediaType || (guessManifestMediaType(bytes) ?? '') };
  }

  getBlob(descriptor: Descriptor, options: { readonly offset?: number } = {}): Promise<BlobStream> {
    return this.#files.openBlob(descriptor.digest, options.offset ?? 0);
  }

  async getSignatures(): Promise<readonly StoredSignature[]> {
    return [];
  }

  /** Manifests of index.json whose subject is `subject`. */
  async listReferrers(
    subject: Digest,
    options: { readonly artifactType?: string } = {},
  ): Promise<readonly Descriptor[]> {
    const found: Descriptor[] = [];
    for (const entry of this.#index.manifests) {
      const bytes = await this.#files.readBlob(entry.digest, MANIFEST_LIMIT_BYTES, 'manifest');
      const manifest = parseManifest(bytes, entry.mediaType);
      if (manifest.kind === 'schema1' || manifest.subject?.digest !== subject) continue;
      const artifactType =
        manifest.artifactType ?? (manifest.kind === 'image' ? manifest.config.mediaType : undefined);
      if (options.artifactType === undefined || options.artifactType === artifactType)
        found.push({ ...entry, ...(artifactType ? { artifactType } : {}) });
    }
    return found;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#files[Symbol.asyncDispose]());
  }
}
