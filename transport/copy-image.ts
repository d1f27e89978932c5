import { Readable } from 'node:stream';
import { parseImageConfig } from '../image/config.ts';
import type { Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import { ImageError } from '../image/error.ts';
import {
  type ImageManifest,
  type ManifestDocument,
  manifestDigest,
  matchesManifestDigest,
  parseManifest,
  type Schema1Manifest,
} from '../image/manifest.ts';
import { MEDIA_TYPE } from '../image/media-type.ts';
import { formatReference } from '../image/reference.ts';
import { buildImage } from './build-manifest.ts';
import type { ImageSource, StoredSignature } from './contract.ts';
import { type CopiedLayer, copyLayer } from './copy-layer.ts';
import type { CopySession } from './copy-session.ts';
import { TransportError } from './error.ts';
import { type ImagePlan, planImage, staysSame } from './plan.ts';
import { readVerifiedBlob } from './read-blob.ts';
import { formatImageReference } from './references.ts';
import { schema1SourceLayers } from './schema1-layers.ts';

/** An image that the destination has now. */
export interface CopiedImage {
  readonly manifest: ManifestDocument;
  readonly digest: Digest;
}

/** Where an image stands. */
export interface ImagePlace {
  /** Its digest in the source's index; undefined where it is the top level. */
  readonly instance?: Digest;
  /** True where it is written as a child of an index too. */
  readonly asChild?: boolean;
}

/** Copies one image; `topLevel` is the index that it was found in, or the image itself. */
export async function copyOneImage(
  session: CopySession,
  document: ManifestDocument,
  topLevel: ManifestDocument,
  place: ImagePlace = {},
): Promise<CopiedImage> {
  const { source, destination, options } = session;
  const { instance, asChild = false } = place;
  const signatures = lazySignatures(source, instance);
  // Nothing else of the image is looked at before the policy has spoken.
  await session.policy.admit({ reference: source.reference, manifest: document, signatures });
  const manifest = parseManifest(document.bytes, document.mediaType);
  if (manifest.kind === 'index')
    throw new TransportError(
      'unsupported',
      'Unexpectedly received a manifest list instead of a manifest for a single image',
    );
  checkRequiredDigest(session, document, topLevel);
  const kept = await keptSignatures(session, signatures, false);
  const frozen = frozenReason(session, kept);
  const config =
    manifest.kind === 'image'
      ? await readVerifiedBlob(source, manifest.config, options.signal ? { signal: options.signal } : {})
      : undefined;
  const original = manifest.kind === 'image' ? manifest.layers : schema1SourceLayers(manifest);
  const layers = await layersForCopy(source, original, frozen, instance);
  const diffIds = config && readDiffIds(config, manifest);
  const fitting = diffIds?.length === layers.length;
  const plan = planImage({
    mediaType: manifest.mediaType,
    layers,
    ...(diffIds && fitting ? { diffIds } : {}),
    destination,
    ...(frozen === undefined ? {} : { frozen }),
    signing: (options.signers?.length ?? 0) > 0,
    ...(options.format ? { format: options.format } : {}),
    ...(options.compression ? { compression: options.compression } : {}),
    ...(options.compressionLevel === undefined ? {} : { compressionLevel: options.compressionLevel }),
    ...(options.forceCompression ? { forceCompression: true } : {}),
    ...(options.encryptLayers ? { encryptLayers: options.encryptLayers } : {}),
    decrypt: options.decryptor !== undefined,
    ...(options.downloadForeignLayers ? { downloadForeignLayers: true } : {}),
  });
  if (diffIds && !fitting) checkLayerCount(plan, diffIds.length);
  const written = await writeImage(session, { document, manifest, config, plan }, asChild);
  await sign(session, written, kept, asChild);
  return written;
}

function lazySignatures(source: ImageSource, instance?: Digest): () => Promise<readonly StoredSignature[]> {
  let read: Promise<readonly StoredSignature[]> | undefined;
  return () => {
    read ??= source.getSignatures(instance);
    return read;
  };
}

/** The signatures to carry over; fails before bytes move where the destination cannot hold them. */
export async function keptSignatures(
  session: CopySession,
  signatures: () => Promise<readonly StoredSignature[]>,
  isIndex: boolean,
): Promise<readonly StoredSignature[]> {
  const { options } = session;
  if (options.removeSignatures || (isIndex && options.removeListSignatures)) return [];
  const list = isIndex ? 'list ' : '';
  session.say('signatures', isIndex ? 'Getting image list signatures' : 'Getting image source signatures');
  const found = await signatures();
  if (found.length === 0) return found;
  session.say('signatures', `Checking if image ${list}destination supports signatures`);
  checkSignatureKinds(
    session,
    found.map(({ kind }) => kind),
  );
  return found;
}

/** @throws TransportError `unsupported` */
export function checkSignatureKinds(session: CopySession, kinds: readonly StoredSignature['kind'][]): void {
  const { destination } = session;
  const lost = kinds.find((kind) => !destination.signatureKinds.includes(kind));
  if (lost === undefined) return;
  const name = formatImageReference(destination.reference);
  throw new TransportError(
    'unsupported',
    `Can not copy signatures to ${name}: ${destination.signatureKinds.length ? `it cannot hold ${lost} signatures` : `storing signatures is not supported for ${destination.reference.transport}: destinations`}`,
    { hint: 'use --remove-signatures to copy the image without them' },
  );
}

function frozenReason(session: CopySession, signatures: readonly StoredSignature[]): string | undefined {
  if (session.options.preserveDigests) return 'Instructed to preserve digests';
  if (session.destination.requiredDigest) return 'Destination specifies a digest';
  return signatures.length > 0 ? 'Would invalidate signatures' : undefined;
}

function checkRequiredDigest(
  session: CopySession,
  document: ManifestDocument,
  topLevel: ManifestDocument,
): void {
  const { requiredDigest } = session.destination;
  if (requiredDigest === undefined) return;
  if ([document, topLevel].some(({ bytes }) => matchesManifestDigest(bytes, requiredDigest))) return;
  throw new TransportError(
    'digest-mismatch',
    "Digest of source image's manifest would not match destination reference",
    { facts: { expected: requiredDigest, digest: manifestDigest(document.bytes) } },
  );
}

/** Layers cannot change when the config speaks of other ones: nobody could tell whether their content is right. */
function checkLayerCount(plan: ImagePlan, diffIds: number): void {
  if (plan.layers.every((layer) => layer.action === 'keep-url' || staysSame(layer))) return;
  throw new TransportError(
    'bad-layout',
    `the config has ${diffIds} diff_ids for ${plan.layers.length} layers`,
    { hint: 'the image is malformed; it can only be copied as it is, to a registry, oci: or dir:' },
  );
}

/** Plain digests by layer, where the config is an image's. */
function readDiffIds(
  config: Uint8Array,
  manifest: ImageManifest | Schema1Manifest,
): readonly Digest[] | undefined {
  if (manifest.kind !== 'image') return undefined;
  const { mediaType } = manifest.config;
  if (mediaType !== MEDIA_TYPE.ociConfig && mediaType !== MEDIA_TYPE.dockerConfig) return undefined;
  try {
    return parseImageConfig(config).rootfs.diff_ids;
  } catch (error) {
    // Artifacts may use the image config type for something else.
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}

async function layersForCopy(
  source: ImageSource,
  original: readonly Descriptor[],
  frozen: string | undefined,
  instance?: Digest,
): Promise<readonly Descriptor[]> {
  const own = await source.layersForCopy?.(instance);
  if (own === undefined) return original;
  const same =
    own.length === original.length && own.every(({ digest }, index) => digest === original[index]?.digest);
  if (frozen === undefined) return own;
  if (same) return original;
  throw new TransportError(
    'unsupported',
    `Copying this image would require changing layer representation, which we cannot do: ${JSON.stringify(frozen)}`,
  );
}

/** All layers at once, within the session's limit; the first failure stops the others. */
async function copyLayers(
  session: CopySession,
  plan: ImagePlan,
  manifest: ImageManifest | Schema1Manifest,
): Promise<readonly CopiedLayer[]> {
  const stop = new AbortController();
  const outer = session.options.signal;
  const signal = outer ? AbortSignal.any([outer, stop.signal]) : stop.signal;
  const format = manifest.kind === 'image' ? manifest.format : 'docker';
  const same = new Map<string, Promise<CopiedLayer>>();
  let failure: { readonly error: unknown } | undefined;
  const copies = plan.layers.map((layer) => {
    const key = `${layer.source.digest} ${layer.encrypt} ${layer.source.mediaType}`;
    const copy =
      same.get(key) ??
      session.limit
        .run(() => copyLayer(session, plan, layer, format, signal), signal)
        .catch((error: unknown) => {
          failure ??= { error };
          stop.abort(error);
          throw error;
        });
    same.set(key, copy);
    return copy;
  });
  const results = await Promise.allSettled(copies);
  outer?.throwIfAborted();
  if (failure) throw failure.error;
  return results.map((result) => (result as PromiseFulfilledResult<CopiedLayer>).value);
}

interface Pending {
  readonly document: ManifestDocument;
  readonly manifest: ImageManifest | Schema1Manifest;
  readonly config: Uint8Array | undefined;
  readonly plan: ImagePlan;
  readonly copied: readonly CopiedLayer[];
  /** Send the config whatever the destination says that it has. */
  readonly anew?: boolean;
}

/** Layers, then the manifest; all bytes are sent anew where the destination first said that it has blobs and then not. */
async function writeImage(
  session: CopySession,
  image: Omit<Pending, 'copied'>,
  asChild: boolean,
): Promise<CopiedImage> {
  const copied = await copyLayers(session, image.plan, image.manifest);
  try {
    return await writeManifest(session, { ...image, copied }, asChild);
  } catch (error) {
    if (!missesBlobs(error)) throw error;
    const reason = (error as Error).message;
    session.report({ type: 'retried', what: 'layers that the registry lost', attempt: 1, reason });
    const plan = { ...image.plan, layers: image.plan.layers.map((layer) => ({ ...layer, reuse: false })) };
    const sent = await copyLayers(session, plan, image.manifest);
    return await writeManifest(session, { ...image, plan, copied: sent, anew: true }, asChild);
  }
}

function missesBlobs(error: unknown): boolean {
  const codes = error instanceof TransportError ? error.facts.codes : undefined;
  return Array.isArray(codes) && (codes.includes('MANIFEST_BLOB_UNKNOWN') || codes.includes('BLOB_UNKNOWN'));
}

/** Tries the manifest types that the plan allows until the destination takes one. */
async function writeManifest(session: CopySession, pending: Pending, asChild: boolean): Promise<CopiedImage> {
  const failures: string[] = [];
  let first: unknown;
  for (const type of pending.plan.types) {
    try {
      return await writeAs(session, pending, type, asChild);
    } catch (error) {
      if (!isTypeRejection(error)) throw error;
      first ??= error;
      failures.push(`${type}(${(error as Error).message})`);
    }
  }
  if (failures.length === 1) throw first;
  throw new TransportError(
    'unsupported',
    `Uploading manifest failed, attempted the following formats: ${failures.join(', ')}`,
    { cause: first },
  );
}

/** Registries say in several ways that they do not take a kind of manifest (containers/image, docker/errors.go). */
function isTypeRejection(error: unknown): boolean {
  if (error instanceof ImageError) return error.code === 'unsupported-conversion';
  if (!(error instanceof TransportError)) return false;
  const { codes, status } = error.facts;
  const refusals = ['MANIFEST_INVALID', 'TAG_INVALID', 'UNSUPPORTED'];
  return status === 415 || (Array.isArray(codes) && codes.some((code) => refusals.includes(code)));
}

async function writeAs(
  session: CopySession,
  pending: Pending,
  type: string,
  asChild: boolean,
): Promise<CopiedImage> {
  const { destination, options } = session;
  const built = await buildImage({ ...pending, type, destination, frozen: pending.plan.frozen });
  if (built.config) {
    const { bytes, descriptor } = built.config;
    session.report({ type: 'started', what: 'config', descriptor });
    const reuse = { isConfig: true, ...(options.signal ? { signal: options.signal } : {}) };
    const present = pending.anew ? undefined : await destination.tryReuseBlob(descriptor, reuse);
    if (present) session.count(present.how);
    else {
      const put = await destination.putBlob(
        { stream: Readable.from([bytes]), sizeBytes: bytes.length },
        descriptor,
        { isConfig: true, ...(options.signal ? { signal: options.signal } : {}) },
      );
      session.count('moved', put.size);
    }
    session.report({ type: 'done', what: 'config', descriptor });
  }
  session.say('manifest', 'Writing manifest to image destination');
  const digest = manifestDigest(built.manifest.bytes);
  await destination.putManifest(built.manifest.bytes, built.manifest.mediaType, asChild ? digest : undefined);
  return { manifest: built.manifest, digest };
}

/** Adds new signatures to those kept, and stores them. */
export async function sign(
  session: CopySession,
  { manifest, digest }: CopiedImage,
  kept: readonly StoredSignature[],
  asChild: boolean,
): Promise<void> {
  const { destination, options } = session;
  const signers = options.signers ?? [];
  const signatures = [...kept];
  for (const [index, signer] of signers.entries()) {
    const identity = options.signIdentity ?? destination.reference.named;
    if (!identity)
      throw new TransportError(
        'signing',
        `Cannot determine canonical Docker reference for destination ${formatImageReference(destination.reference)}`,
        { hint: 'name the identity to sign with --sign-identity' },
      );
    const number = signers.length === 1 ? '' : ` ${index + 1}`;
    session.say('signatures', `Creating signature${number}: Signing image ${formatReference(identity)}`);
    signatures.push(await signer.sign(manifest.bytes, identity));
  }
  if (signatures.length === 0) return;
  session.say('signatures', 'Storing signatures');
  await destination.putSignatures(signatures, asChild ? digest : undefined);
}
