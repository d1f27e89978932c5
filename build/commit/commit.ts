import { formatReference, parseReference, repositoryOf, withSelector } from '../../image/reference.ts';
import type { CreateImageOptions } from '../../store/storage/contract.ts';
import { BlobDirectory } from '../../transport/blob-directory/directory.ts';
import type { ImageReference } from '../../transport/contract.ts';
import type {
  BuildSurroundings,
  CommitOptions,
  CommitResult,
  WorkingContainer,
} from '../container/contract.ts';
import { BuildError } from '../error.ts';
import { BUILT_HERE } from './built-mark.ts';
import { keepPlainBlobs, withCompressedBlobs } from './compressed-blobs.ts';
import { type CopyStoredOptions, copyStored } from './copy-stored.ts';
import { type ImageDocuments, imageDocuments } from './image-documents.ts';
import { type CommittedLayers, commitLayers } from './layers.ts';
import { refuseOtherDigest } from './named-digest.ts';
import { namelessSignature, signStored } from './sign-stored.ts';

/**
 * Makes an image of a working container in local storage: its layer in one pass, then config and manifest. The image
 * id is the hex of the config digest; an image that is there already gets the names.
 */
export async function commitToStore(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  options: CommitOptions = {},
): Promise<CommitResult> {
  await surroundings.policy.prepare?.();
  const epoch = epochOf(options);
  const created = dateText(epoch === undefined ? surroundings.now() : new Date(epoch * 1000));
  const committed = await commitLayers(surroundings, container, options, epoch);
  return storeImage(surroundings, container, options, { ...committed, created });
}

/** Makes an image of layers that are in storage. */
export async function storeImage(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  options: CommitOptions,
  committed: CommittedLayers & { readonly created: string },
): Promise<CommitResult> {
  const { store } = surroundings;
  const { ownLayer, extraLayer, created } = committed;
  const blobs = options.blobDirectory
    ? BlobDirectory.at(options.blobDirectory, surroundings.onWarning)
    : undefined;
  const layers = options.compressLayers
    ? await withCompressedBlobs(store, committed.layers, container.topLayer, blobs)
    : committed.layers;
  const format = options.format ?? container.preferredFormat;
  const documents = imageDocuments(container, options, {
    layers,
    format,
    created,
    reproducible: epochOf(options) !== undefined,
    extraLayer,
  });
  const imageId = documents.configDigest.slice('sha256:'.length);
  const image: CreateImageOptions = {
    id: imageId,
    names: options.names ?? [],
    topLayer: layers.at(-1)?.id,
    metadata: '{}',
    digest: documents.manifestDigest,
    created,
    bigData: [
      { key: documents.configDigest, data: documents.config },
      { key: `manifest-${documents.manifestDigest}`, data: documents.manifest },
      { key: 'manifest', data: documents.manifest },
      { key: BUILT_HERE, data: Buffer.from(JSON.stringify({ origin: options.origin })) },
    ],
  };
  if (blobs) {
    if (!options.compressLayers) await keepPlainBlobs(store, layers, container.topLayer, blobs);
    await blobs.putConfig(documents.configDigest, documents.config);
    await blobs.putManifest(documents.manifestDigest, documents.manifest);
  }
  if (options.reportsCopy) reportCopy(surroundings, documents);
  refuseOtherDigest(image.names ?? [], documents.manifestDigest);
  options.onImage?.(imageId);
  await store.images.create(image);
  const name = options.names?.[0];
  return {
    imageId,
    manifest: documents.manifest,
    mediaType: documents.mediaType,
    digest: documents.manifestDigest,
    canonicalName: name && canonicalName(name, documents.manifestDigest),
    topLayer: ownLayer,
  };
}

function reportCopy({ onProgress }: BuildSurroundings, documents: ImageDocuments): void {
  onProgress?.({ type: 'started', what: 'signatures' });
  for (const descriptor of documents.layers) onProgress?.({ type: 'started', what: 'blob', descriptor });
  onProgress?.({ type: 'started', what: 'config', descriptor: documents.configDescriptor });
  onProgress?.({ type: 'started', what: 'manifest' });
}

/** As Go writes times. */
export const dateText = (date: Date) => date.toISOString().replace('.000Z', 'Z');

/** A reference that names a store, in brackets, is copied to as to any other place. */
function isOwnStore(destination: ImageReference): boolean {
  return destination.transport === 'containers-storage' && !destination.within.startsWith('[');
}

/** Seconds since the epoch that the image's dates are pinned to; undefined for now. */
export function epochOf(options: CommitOptions): number | undefined {
  if (options.omitTimestamp && options.timestampSeconds !== undefined)
    throw new BuildError('bad-option', 'omitting the timestamp and setting one cannot be used together');
  return options.sourceDateEpochSeconds ?? (options.omitTimestamp ? 0 : options.timestampSeconds);
}

function canonicalName(name: string, digest: CommitResult['digest']): string {
  return formatReference(withSelector(parseReference(name), { digest }));
}

/** Options of {@link commitContainer} for a destination outside local storage. */
export interface CommitElsewhereOptions extends CommitOptions {
  readonly copy?: CopyStoredOptions;
}

/**
 * Commits to any destination: local storage, or, by way of a nameless image there that is removed again, any other
 * transport.
 */
export async function commitContainer(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  destination: ImageReference | undefined,
  options: CommitElsewhereOptions = {},
): Promise<CommitResult> {
  const { store } = surroundings;
  if (!destination || isOwnStore(destination)) {
    const named = destination?.named ? [formatReference(destination.named)] : [];
    const names = [...named, ...(options.names ?? [])];
    // An image that was to be signed must not stand there without its signature.
    if (options.signers?.length && names.length === 0) throw namelessSignature();
    for (const signer of options.signers ?? []) await signer.prepare();
    const result = await commitToStore(surroundings, container, { ...options, names });
    if (options.signers?.length) await signStored(surroundings, result, options.signers);
    return result;
  }
  const before = new Set((await store.images.list()).map((image) => image.id));
  const local = await commitToStore(surroundings, container, {
    ...options,
    names: [],
    reportsCopy: false,
  });
  try {
    const { manifest, digest } = await copyStored(surroundings, local.imageId, destination, {
      ...options.copy,
      blobDirectory: options.blobDirectory,
      doing: 'commit to',
      signers: options.signers,
    });
    const canonicalName = destination.named && `${repositoryOf(destination.named)}@${digest}`;
    const { bytes, mediaType } = manifest;
    return { ...local, manifest: bytes, mediaType, digest, canonicalName };
  } finally {
    if (!before.has(local.imageId)) await store.deleteImage(local.imageId);
  }
}
