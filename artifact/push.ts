import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Annotations, Descriptor } from '../image/descriptor.ts';
import { digestOf } from '../image/digest.ts';
import { guessManifestMediaType, type ManifestDocument, manifestDigest } from '../image/manifest.ts';
import { MEDIA_TYPE } from '../image/media-type.ts';
import { expectedOf, verified } from '../store/blob/verify.ts';
import type {
  ImageDestination,
  ImageReference,
  OnProgress,
  TransportContext,
} from '../transport/contract.ts';
import { meterOf } from '../transport/meter.ts';
import { selectImage } from '../transport/select-image.ts';
import { ArtifactError } from './error.ts';
import {
  type ArtifactFile,
  type ArtifactOptions,
  artifactManifest,
  EMPTY_BYTES,
  EMPTY_DESCRIPTOR,
  type PackedBlob,
  packFile,
  TITLE,
  UNKNOWN_CONFIG_TYPE,
} from './pack.ts';

/** Options of {@link pushArtifact} and {@link attachArtifact}. */
export interface PushArtifactOptions extends Omit<ArtifactOptions, 'config' | 'subject'> {
  /** A file whose bytes become the config, with its media type. */
  readonly config?: ArtifactFile;
  readonly configAnnotations?: Annotations;
  /** Annotations for single files, by title. */
  readonly fileAnnotations?: Readonly<Record<string, Annotations>>;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** The descriptor of a manifest that was pushed, and its bytes. */
export interface PushedManifest extends Descriptor {
  readonly bytes: Uint8Array;
}

/**
 * Packs files and pushes them as one artifact, as `oras push`.
 * @throws ArtifactError `bad-file`; TransportError
 */
export async function pushArtifact(
  reference: ImageReference,
  files: readonly ArtifactFile[],
  context: TransportContext,
  options: PushArtifactOptions = {},
): Promise<PushedManifest> {
  await using destination = await reference.openDestination(context);
  return await pushTo(destination, files, context, options);
}

/**
 * Pushes files as an artifact whose subject is the image or artifact at `reference`, beside it, as `oras attach`.
 * @returns the descriptors of the subject and of the new manifest
 * @throws ArtifactError `unsupported` where a place holds one image alone, `bad-file`; TransportError
 */
export async function attachArtifact(
  reference: ImageReference,
  files: readonly ArtifactFile[],
  context: TransportContext,
  options: PushArtifactOptions & { readonly artifactType: string },
): Promise<{ subject: Descriptor; manifest: PushedManifest }> {
  const subject = await resolveDescriptor(reference, context);
  await using bytes = await packAll(files, context, options);
  const document = artifactManifest(
    bytes.layers.map((blob) => blob.descriptor),
    { ...options, config: bytes.config?.descriptor, subject },
  );
  const manifest = describe(document, options.artifactType);
  const target = await selectImage(reference, { digest: manifest.digest });
  if (!target || reference.transport === 'oci-archive')
    throw new ArtifactError('unsupported', `${reference.transport}: holds one image alone`, {
      hint: 'attach in a registry or in an oci: layout',
    });
  await using destination = await target.openDestination(context);
  await send(destination, bytes, document, options);
  return { subject, manifest };
}

/** The descriptor of what a reference names now. */
export async function resolveDescriptor(
  reference: ImageReference,
  context: TransportContext,
): Promise<Descriptor> {
  await using source = await reference.openSource(context);
  return describeManifest(await source.getManifest());
}

/** The descriptor of manifest bytes; the bytes decide the media type. */
export function describeManifest({ bytes, mediaType }: ManifestDocument): Descriptor {
  return {
    mediaType: guessManifestMediaType(bytes) ?? mediaType,
    digest: manifestDigest(bytes),
    size: bytes.length,
  };
}

interface Packed extends AsyncDisposable {
  readonly layers: readonly PackedBlob[];
  readonly config: PackedBlob | undefined;
}

async function packAll(
  files: readonly ArtifactFile[],
  context: TransportContext,
  options: PushArtifactOptions,
): Promise<Packed> {
  const directory = await mkdtemp(join(context.temporaryDirectory, 'slipway-artifact-'));
  const remove = () => rm(directory, { recursive: true, force: true });
  try {
    return { ...(await packInto(directory, files, options)), [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function packInto(
  directory: string,
  files: readonly ArtifactFile[],
  options: PushArtifactOptions,
): Promise<Pick<Packed, 'layers' | 'config'>> {
  const layers: PackedBlob[] = [];
  for (const file of files) {
    const annotations = { ...file.annotations, ...options.fileAnnotations?.[file.title ?? file.path] };
    layers.push(await packFile({ ...file, annotations }, directory, options.signal));
  }
  const config =
    options.config &&
    (await packFile({ mediaType: UNKNOWN_CONFIG_TYPE, ...options.config }, directory, options.signal));
  const annotations = options.configAnnotations;
  return {
    layers,
    config: config && { ...config, descriptor: { ...config.descriptor, annotations } },
  };
}

async function pushTo(
  destination: ImageDestination,
  files: readonly ArtifactFile[],
  context: TransportContext,
  options: PushArtifactOptions,
): Promise<PushedManifest> {
  await using packed = await packAll(files, context, options);
  const document = artifactManifest(
    packed.layers.map((blob) => blob.descriptor),
    { ...options, config: packed.config?.descriptor },
  );
  await send(destination, packed, document, options);
  return describe(document, options.artifactType);
}

function describe(document: Uint8Array, artifactType?: string): PushedManifest {
  return {
    bytes: document,
    mediaType: MEDIA_TYPE.ociManifest,
    digest: digestOf(document),
    size: document.length,
    ...(artifactType ? { artifactType } : {}),
  };
}

async function send(
  destination: ImageDestination,
  packed: Packed,
  document: Uint8Array,
  options: PushArtifactOptions,
): Promise<void> {
  const empty: PackedBlob = { descriptor: EMPTY_DESCRIPTOR, open: () => Readable.from([EMPTY_BYTES]) };
  const blobs = [...packed.layers, packed.config ?? empty, ...(packed.layers.length ? [] : [empty])];
  const distinct = [...new Map(blobs.map((blob) => [blob.descriptor.digest, blob])).values()];
  for (const blob of distinct) await sendBlob(destination, blob, options);
  await destination.putManifest(document, MEDIA_TYPE.ociManifest);
  await destination.commit({ signal: options.signal });
}

async function sendBlob(
  destination: ImageDestination,
  blob: PackedBlob,
  { onProgress, signal }: PushArtifactOptions,
): Promise<void> {
  const { descriptor } = blob;
  if (await destination.tryReuseBlob(descriptor, { isConfig: false, signal })) {
    onProgress?.({ type: 'skipped', descriptor, reason: 'exists' });
    return;
  }
  onProgress?.({ type: 'started', what: 'blob', descriptor });
  const what = descriptor.annotations?.[TITLE] ?? `blob ${descriptor.digest}`;
  const stream = verified(blob.open(), expectedOf(descriptor, what), meterOf(descriptor, onProgress));
  await destination.putBlob({ stream, sizeBytes: descriptor.size }, descriptor, { isConfig: false, signal });
  onProgress?.({ type: 'done', what: 'blob', descriptor });
}
