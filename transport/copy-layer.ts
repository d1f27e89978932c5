import type { Readable } from 'node:stream';
import { type ManifestFormat, withCompression } from '../image/convert.ts';
import type { Annotations, Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import { type Compression, compressionOf, isLayerMediaType } from '../image/media-type.ts';
import type { NamedReference } from '../image/reference.ts';
import { detectCompression } from '../store/blob/compression.ts';
import { BlobMeter, expectedOf } from '../store/blob/verify.ts';
import type { ResumableDestination } from './contract.ts';
import { type Converted, chain, convertLayer, describeLayer } from './convert-layer.ts';
import type { CopySession } from './copy-session.ts';
import { TransportError } from './error.ts';
import { meterOf } from './meter.ts';
import { type ImagePlan, type LayerPlan, staysSame } from './plan.ts';
import { formatImageReference } from './references.ts';
import { needsRereading } from './retry.ts';

/** A layer at the destination, named in the format of the source manifest. */
export interface CopiedLayer {
  readonly descriptor: Descriptor;
  /** Where it was known or had to be found out. */
  readonly diffId?: Digest;
}

/** Brings one layer to the destination: as it is there already, from elsewhere, or by moving its bytes. */
export async function copyLayer(
  session: CopySession,
  plan: ImagePlan,
  layer: LayerPlan,
  format: ManifestFormat,
  signal: AbortSignal,
): Promise<CopiedLayer> {
  const { source } = layer;
  if (layer.action === 'keep-url') {
    session.report({ type: 'skipped', descriptor: source, reason: 'foreign layer' });
    return { descriptor: source };
  }
  const { turns } = session.options;
  const place = sharedPlace(session);
  const work = () => bring(session, plan, layer, format, signal);
  return turns && place !== undefined ? turns.run(`${place} ${source.digest}`, work) : work();
}

/** Where a blob that one copy brings is there, or can be mounted, for another. */
function sharedPlace({ destination: { reference } }: CopySession): string | undefined {
  if (reference.transport === 'docker') return reference.named?.domain;
  return reference.transport === 'oci' ? reference.policyIdentity.replace(/:[^/]*$/, '') : undefined;
}

async function bring(
  session: CopySession,
  plan: ImagePlan,
  layer: LayerPlan,
  format: ManifestFormat,
  signal: AbortSignal,
): Promise<CopiedLayer> {
  const { source } = layer;
  const known = layer.diffId === undefined ? {} : { diffId: layer.diffId };
  const reused = layer.reuse ? await reuse(session, plan, layer, format, signal) : undefined;
  if (reused) return { descriptor: reused, ...known };
  for (let tries = 1; ; tries += 1) {
    try {
      return (await resume(session, layer, signal)) ?? (await transfer(session, plan, layer, format, signal));
    } catch (error) {
      if (tries > REREADS || signal.aborted || !needsRereading(error)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      session.report({ type: 'retried', what: `blob ${source.digest}`, attempt: tries, reason });
    }
  }
}

/** How often a layer is read from its source again because the registry lost more of it than is kept for that. */
const REREADS = 3;

/** What a destination gave instead of taking bytes. */
export type Reuse = NonNullable<Awaited<ReturnType<CopySession['destination']['tryReuseBlob']>>>;

async function reuse(
  session: CopySession,
  plan: ImagePlan,
  layer: LayerPlan,
  format: ManifestFormat,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  const { source } = layer;
  for (const wanted of [source, ...substitutes(session, plan, layer, format)]) {
    const found = await session.destination.tryReuseBlob(
      wanted,
      reuseOptions(session, plan, layer, wanted, signal),
    );
    if (!found) continue;
    noteReuse(session, source, found);
    if (found.descriptor.digest !== source.digest) return found.descriptor;
    return source.size >= 0 ? source : { ...source, size: found.descriptor.size };
  }
  return undefined;
}

/** Counts and tells of a layer that needed not move. */
export function noteReuse(session: CopySession, source: Descriptor, { how, descriptor }: Reuse): void {
  session.count(how);
  noteLocation(session, descriptor.digest);
  if (how === 'mounted') session.report({ type: 'mounted', descriptor: source });
  else session.report({ type: 'skipped', descriptor: source, reason: 'already exists' });
}

function reuseOptions(
  session: CopySession,
  plan: ImagePlan,
  { source, diffId, index }: LayerPlan,
  wanted: Descriptor,
  signal: AbortSignal,
): Parameters<CopySession['destination']['tryReuseBlob']>[1] {
  const { forceCompression, compression } = session.options;
  return {
    isConfig: false,
    layerIndex: index,
    ...(diffId === undefined ? {} : { diffId }),
    substitute: plan.substitute && isLayerMediaType(source.mediaType),
    candidates: candidates(session, wanted.digest),
    ...(forceCompression && compression
      ? { compression: compression.format === 'gzip' ? 'gzip' : 'zstd' }
      : {}),
    signal,
  };
}

/** Other compressed forms of the same content that earlier copies made; for destinations that keep compressed layers. */
function substitutes(
  session: CopySession,
  plan: ImagePlan,
  layer: LayerPlan,
  format: ManifestFormat,
): readonly Descriptor[] {
  const { source, diffId, wish, compression, recompress } = layer;
  const cache = session.options.blobCache;
  if (!cache || !plan.substitute || wish !== 'compress' || !isLayerMediaType(source.mediaType)) return [];
  const plain =
    compressionOf(source.mediaType) === 'none' ? source.digest : (diffId ?? cache.plainOf(source.digest));
  if (plain === undefined) return [];
  const wanted = compression.format === 'gzip' ? 'gzip' : 'zstd';
  return cache
    .compressedOf(plain)
    .filter((blob) => blob.digest !== source.digest)
    .filter((blob) => (recompress ? blob.compression === wanted : blob.compression === 'gzip'))
    .map(({ digest, size, compression: form }) => ({
      mediaType: withCompression(source.mediaType, format, form),
      digest,
      size,
    }));
}

/** Repositories of the destination's registry that may have the blob: the source itself, and what is remembered. */
export function candidates(session: CopySession, digest: Digest): readonly NamedReference[] {
  const to = session.destination.reference.named;
  if (session.destination.reference.transport !== 'docker' || !to) return [];
  const from = session.source.reference;
  const own = from.transport === 'docker' && from.named?.domain === to.domain ? [from.named] : [];
  return [...own, ...(session.options.blobCache?.locations(to.domain, digest) ?? [])];
}

/** Remembers where a blob now certainly is. */
export function noteLocation(session: CopySession, digest: Digest): void {
  const { reference } = session.destination;
  if (reference.transport === 'docker' && reference.named)
    session.options.blobCache?.recordLocation(reference.named, digest);
}

const RESUME_BYTES = 1 << 20;

/** Moves only what an interrupted copy did not; undefined where there is nothing to go on from. */
async function resume(
  session: CopySession,
  layer: LayerPlan,
  signal: AbortSignal,
): Promise<CopiedLayer | undefined> {
  const { source } = layer;
  const { destination } = session;
  if (session.source.reference.transport !== 'docker' || source.size < RESUME_BYTES || !staysSame(layer))
    return undefined;
  const offset = isResumable(destination) ? await destination.uploadedBytes(source.digest) : 0;
  if (offset <= 0 || offset >= source.size) return undefined;
  const blob = await session.source.getBlob(source, { offset, signal });
  if (blob.sizeBytes !== source.size - offset) {
    blob.stream.destroy();
    return undefined;
  }
  session.report({ type: 'started', what: 'blob', descriptor: source });
  const { digest, size } = source;
  const options = { isConfig: false, layerIndex: layer.index, offset, signal };
  await destination.putBlob(blob, { mediaType: source.mediaType, digest, size }, options);
  session.count('moved', size - offset);
  noteLocation(session, digest);
  session.report({ type: 'done', what: 'blob', descriptor: source });
  return { descriptor: source, ...(layer.diffId === undefined ? {} : { diffId: layer.diffId }) };
}

function isResumable(destination: object): destination is ResumableDestination {
  return typeof (destination as Partial<ResumableDestination>).uploadedBytes === 'function';
}

async function transfer(
  session: CopySession,
  plan: ImagePlan,
  layer: LayerPlan,
  format: ManifestFormat,
  signal: AbortSignal,
): Promise<CopiedLayer> {
  const { source } = layer;
  session.report({ type: 'started', what: 'blob', descriptor: source });
  const { stream, verify } = await openVerified(session, layer, signal);
  try {
    const converted = await convertLayer(session, layer, stream);
    const put = await session.destination.putBlob(
      { stream: converted.stream, ...(converted.size === undefined ? {} : { sizeBytes: converted.size }) },
      {
        mediaType: layer.decrypt ? decryptedType(source.mediaType) : source.mediaType,
        ...(converted.digest === undefined ? {} : { digest: converted.digest }),
        ...(converted.size === undefined ? {} : { size: converted.size }),
      },
      {
        isConfig: false,
        layerIndex: layer.index,
        ...(layer.diffId === undefined ? {} : { diffId: layer.diffId }),
        verified: converted.digest !== undefined,
        signal,
      },
    );
    session.count('moved', put.size);
    noteLocation(session, put.digest);
    session.report({ type: 'done', what: 'blob', descriptor: source });
    const copied = await describe(session, layer, format, converted, put, verify);
    // A wrong label is part of a manifest that must stay as it is.
    return plan.frozen !== undefined && !converted.changed ? { ...copied, descriptor: source } : copied;
  } finally {
    stream.destroy();
  }
}

/** The blob's bytes, failing before their end unless they are what the descriptor says. */
async function openVerified(
  session: CopySession,
  layer: LayerPlan,
  signal: AbortSignal,
): Promise<{ readonly stream: Readable; readonly verify: BlobMeter }> {
  const { source } = layer;
  const { destination } = session;
  const keep = !(isResumable(destination) && destination.keepsBytes && staysSame(layer));
  const blob = await session.source.getBlob(source, { keep, signal });
  const what = `blob ${source.digest} of ${formatImageReference(session.source.reference)}`;
  const verify = new BlobMeter(expectedOf(source, what), meterOf(source, session.options.onProgress));
  return { stream: chain(blob.stream, verify), verify };
}

async function describe(
  session: CopySession,
  layer: LayerPlan,
  format: ManifestFormat,
  converted: Converted,
  put: { readonly digest: Digest; readonly size: number },
  verify: BlobMeter,
): Promise<CopiedLayer> {
  const { source } = layer;
  const detected = converted.compression ?? sniffed(verify);
  if (!converted.changed && detected === 'none') checkPlainDigest(layer);
  const diffId = layer.diffId ?? (layer.needsDiffId ? await converted.plainDigest?.() : undefined);
  remember(session, layer, converted, put);
  let mediaType = source.mediaType;
  if (layer.decrypt) mediaType = decryptedType(mediaType);
  const labelled = compressionOf(mediaType);
  if (
    detected !== undefined &&
    labelled !== undefined &&
    labelled !== detected &&
    !mediaType.endsWith('+encrypted')
  )
    mediaType = withCompression(mediaType, format, detected);
  if (layer.encrypt) mediaType += '+encrypted';
  const annotations = editedAnnotations(layer, converted);
  const { urls, annotations: _old, ...rest } = source;
  return {
    descriptor: {
      ...rest,
      mediaType,
      digest: put.digest,
      size: put.size,
      ...(urls && !converted.changed ? { urls } : {}),
      ...(annotations && Object.keys(annotations).length ? { annotations } : {}),
    },
    ...(diffId === undefined ? {} : { diffId }),
  };
}

function decryptedType(mediaType: string): string {
  return mediaType.replace(/\+encrypted$/, '');
}

/** A plain layer's digest is its diffID; artifacts' blobs have none. */
function checkPlainDigest(layer: LayerPlan): void {
  const { source, diffId } = layer;
  if (diffId === undefined || diffId === source.digest || !isLayerMediaType(source.mediaType)) return;
  if (source.mediaType.endsWith('+encrypted')) return;
  throw new TransportError(
    'digest-mismatch',
    `${describeLayer(layer)} does not match: got digest ${source.digest}`,
    {
      facts: { expected: diffId, digest: source.digest },
    },
  );
}

function sniffed(verify: BlobMeter): Compression | undefined {
  const detected = detectCompression(verify.head);
  return detected === 'bzip2' || detected === 'xz' ? undefined : detected;
}

function editedAnnotations(layer: LayerPlan, converted: Converted): Annotations | undefined {
  const { annotations } = layer.source;
  if (!converted.changed) return annotations;
  const kept = Object.entries(annotations ?? {}).filter(
    ([key]) =>
      !key.startsWith('io.github.containers.zstd-chunked.') &&
      !(layer.decrypt && key.startsWith('org.opencontainers.image.enc')),
  );
  return { ...Object.fromEntries(kept), ...converted.annotations?.() };
}

/** Only what was verified over all bytes in this process, and nothing about encrypted data. */
function remember(
  session: CopySession,
  layer: LayerPlan,
  converted: Converted,
  put: { readonly digest: Digest; readonly size: number },
): void {
  const cache = session.options.blobCache;
  if (!cache || layer.decrypt || layer.encrypt || !converted.changed) return;
  const { source, diffId } = layer;
  const { compression } = converted;
  if (compression === 'gzip' || compression === 'zstd') {
    const plain = compressionOf(source.mediaType) === 'none' ? source.digest : diffId;
    if (plain) cache.recordPlain({ ...put, compression }, plain);
  }
}
