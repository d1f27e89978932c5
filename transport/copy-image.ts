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
import { buildImage } from './build-manifest.ts';
import type { ImageSource, StoredSignature } from './contract.ts';
import { ConfigCopier } from './copy-config.ts';
import { type CopiedLayer, copyLayer } from './copy-layer.ts';
import type { CopiedImage, CopySession } from './copy-session.ts';
import { keptSignatures, lazySignatures, sign } from './copy-signatures.ts';
import { TransportError } from './error.ts';
import { type ImagePlan, staysSame } from './plan.ts';
import { planCopy } from './plan-copy.ts';
import { readVerifiedBlob } from './read-blob.ts';
import { schema1SourceLayers } from './schema1-layers.ts';

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
  const { source } = session;
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
  const image = { document, manifest, frozen };
  const written = (await mountImage(session, image, asChild)) ?? (await moveImage(session, image, place));
  await sign(session, written, kept, asChild);
  return written;
}

interface Original {
  readonly document: ManifestDocument;
  readonly manifest: ImageManifest | Schema1Manifest;
  readonly frozen: string | undefined;
}

/** From one repository of a registry to another, without any byte of a blob; undefined where that cannot be. */
async function mountImage(
  session: CopySession,
  { document, manifest, frozen }: Original,
  asChild: boolean,
): Promise<CopiedImage | undefined> {
  if (manifest.kind !== 'image' || !isWithinRegistry(session)) return undefined;
  const { mediaType, layers } = manifest;
  const { mountBlobs } = await import('./mount-image.ts');
  const plan = planCopy(session, { mediaType, layers, frozen });
  if (!(await mountBlobs(session, manifest, plan))) return undefined;
  try {
    return await putManifest(session, { bytes: document.bytes, mediaType }, asChild);
  } catch (error) {
    if (missesBlobs(error) || isTypeRejection(error)) return undefined;
    throw error;
  }
}

function isWithinRegistry({ source, destination }: CopySession): boolean {
  const [from, to] = [source.reference, destination.reference];
  return from.transport === 'docker' && to.transport === 'docker' && from.named?.domain === to.named?.domain;
}

async function moveImage(
  session: CopySession,
  { document, manifest, frozen }: Original,
  { instance, asChild = false }: ImagePlace,
): Promise<CopiedImage> {
  const { source, options } = session;
  const config =
    manifest.kind === 'image'
      ? await readVerifiedBlob(source, manifest.config, options.signal ? { signal: options.signal } : {})
      : undefined;
  const original = manifest.kind === 'image' ? manifest.layers : schema1SourceLayers(manifest);
  const layers = await layersForCopy(source, original, frozen, instance);
  const diffIds = config && readDiffIds(config, manifest);
  const fitting = diffIds?.length === layers.length;
  const { mediaType } = manifest;
  const plan = planCopy(session, { mediaType, layers, frozen, ...(diffIds && fitting ? { diffIds } : {}) });
  if (diffIds && !fitting) checkLayerCount(plan, diffIds.length);
  const given = source.manifestStays ? { given: layers } : {};
  return writeImage(session, { document, manifest, config, plan, ...given }, asChild);
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
  readonly given?: readonly Descriptor[];
  readonly copied: readonly CopiedLayer[];
  readonly configs: ConfigCopier;
  /** Send the config whatever the destination says that it has. */
  readonly anew?: boolean;
}

/** Layers, then the manifest; all bytes are sent anew where the destination first said that it has blobs and then not. */
async function writeImage(
  session: CopySession,
  image: Omit<Pending, 'copied' | 'configs'>,
  asChild: boolean,
): Promise<CopiedImage> {
  await using configs = new ConfigCopier(session);
  const { config, manifest } = image;
  if (config && manifest.kind === 'image' && image.plan.types[0] === manifest.mediaType)
    configs.start({ bytes: config, descriptor: manifest.config });
  const copied = await copyLayers(session, image.plan, manifest);
  try {
    return await writeManifest(session, { ...image, copied, configs }, asChild);
  } catch (error) {
    if (!missesBlobs(error)) throw error;
    const reason = (error as Error).message;
    session.report({ type: 'retried', what: 'layers that the registry lost', attempt: 1, reason });
    const plan = { ...image.plan, layers: image.plan.layers.map((layer) => ({ ...layer, reuse: false })) };
    const sent = await copyLayers(session, plan, manifest);
    return await writeManifest(session, { ...image, plan, copied: sent, configs, anew: true }, asChild);
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
  const { destination } = session;
  const built = await buildImage({ ...pending, type, destination, frozen: pending.plan.frozen });
  if (built.config) await pending.configs.put(built.config, pending.anew === true);
  return putManifest(session, built.manifest, asChild);
}

async function putManifest(
  session: CopySession,
  manifest: ManifestDocument,
  asChild: boolean,
): Promise<CopiedImage> {
  session.say('manifest', 'Writing manifest to image destination');
  const digest = manifestDigest(manifest.bytes);
  await session.destination.putManifest(manifest.bytes, manifest.mediaType, asChild ? digest : undefined);
  return { manifest, digest };
}
