import { pipeline, type Readable } from 'node:stream';
import type { Annotations } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import type { Compression } from '../image/media-type.ts';
import { decompressed, type KnownCompression, peekCompression } from '../store/blob/compression.ts';
import { BlobMeter, type ExpectedBlob } from '../store/blob/verify.ts';
import { type CompressionChoice, compress } from './compress.ts';
import type { CopySession } from './copy-session.ts';
import { DiffIdTap } from './diff-id-tap.ts';
import { TransportError } from './error.ts';
import { type LayerPlan, lacksChunks } from './plan.ts';

/** A layer's bytes on their way to the destination. */
export interface Converted {
  readonly stream: Readable;
  /** Known where the bytes are those of the source, or a plain layer whose digest the config tells. */
  readonly digest?: Digest;
  readonly size?: number;
  /** What the bytes given to the destination are; undefined: as the source labels them. */
  readonly compression?: Compression;
  readonly changed: boolean;
  readonly plainDigest?: () => Promise<Digest>;
  readonly annotations?: () => Annotations;
}

/** What the plan wishes, applied to what the bytes turn out to be. */
export async function convertLayer(
  session: CopySession,
  layer: LayerPlan,
  verified: Readable,
): Promise<Converted> {
  if (layer.wish === 'keep' && !layer.decrypt && !layer.encrypt && !layer.needsDiffId)
    return { ...sameBytes(layer), stream: verified, changed: false };
  const opened = layer.decrypt ? await decrypted(session, layer, verified) : verified;
  const { compression: detected, stream } = await peekCompression(opened);
  const recoded = await recode(layer, stream, detected);
  const result =
    layer.decrypt && !recoded.changed
      ? { stream: recoded.stream, changed: true, compression: recoded.compression }
      : recoded;
  return layer.encrypt ? encrypted(session, layer, result) : result;
}

function sameBytes({ source }: LayerPlan): { digest: Digest; size?: number } {
  return { digest: source.digest, ...(source.size >= 0 ? { size: source.size } : {}) };
}

async function recode(layer: LayerPlan, stream: Readable, detected: KnownCompression): Promise<Converted> {
  const { wish, compression, recompress } = layer;
  const target: Compression = compression.format === 'zstd:chunked' ? 'zstd' : compression.format;
  if (wish === 'compress' && detected === 'none') {
    const checked = isChecked(layer) ? stream : chain(stream, new BlobMeter(plainOf(layer)));
    return { ...(await compressed(checked, compression)), compression: target, changed: true };
  }
  const isOther = detected !== target || lacksChunks(layer.source, compression);
  if (detected !== 'none' && wish === 'compress' && recompress && isOther) {
    const { stream: plain, plainDigest } = plainLayer(layer, stream, detected);
    return { ...(await compressed(plain, compression)), compression: target, changed: true, plainDigest };
  }
  if (detected !== 'none' && wish === 'decompress') {
    const { stream: plain, plainDigest } = plainLayer(layer, stream, detected);
    const digest = layer.diffId === undefined ? {} : { digest: layer.diffId };
    return { stream: plain, compression: 'none', changed: true, plainDigest, ...digest };
  }
  return preserved(layer, stream, detected);
}

/** A plain layer as storage gives it: the digest that all its bytes were checked against is the diffID already. */
function isChecked({ source, diffId, decrypt }: LayerPlan): boolean {
  return !decrypt && diffId === source.digest;
}

/** zstd:chunked carries a table of contents, and says in annotations where it is. */
async function compressed(
  plain: Readable,
  choice: CompressionChoice,
): Promise<Pick<Converted, 'stream' | 'annotations'>> {
  if (choice.format !== 'zstd:chunked') return { stream: compress(plain, choice) };
  const { zstdChunked } = await import('../store/layer/zstd-chunked.ts');
  return zstdChunked(plain, choice.level === undefined ? {} : { level: choice.level });
}

function preserved(layer: LayerPlan, stream: Readable, detected: KnownCompression): Converted {
  const kept = {
    ...sameBytes(layer),
    changed: false,
    ...(detected === 'none' || detected === 'gzip' || detected === 'zstd' ? { compression: detected } : {}),
  };
  if (!layer.needsDiffId) return { ...kept, stream };
  const tap = new DiffIdTap(detected);
  return { ...kept, stream: chain(stream, tap), plainDigest: () => tap.diffId };
}

function plainLayer(layer: LayerPlan, stream: Readable, detected: Exclude<KnownCompression, 'none'>) {
  const verify = new BlobMeter(plainOf(layer));
  return {
    stream: chain(decompressed(stream, detected), verify),
    plainDigest: async () => verify.info.digest,
  };
}

function plainOf(layer: LayerPlan): ExpectedBlob {
  const { diffId } = layer;
  return { what: describeLayer(layer), ...(diffId === undefined ? {} : { digest: diffId }) };
}

/** For messages about a layer's plain content. */
export function describeLayer({ source, diffId }: LayerPlan): string {
  return `the plain content of layer ${source.digest}${diffId ? `, which the config says is ${diffId},` : ''}`;
}

async function decrypted(session: CopySession, layer: LayerPlan, stream: Readable): Promise<Readable> {
  const { decryptor } = session.options;
  if (!decryptor) throw new Error('decryption was planned without keys');
  return (await decryptor.decrypt({ stream }, layer.source)).stream;
}

async function encrypted(session: CopySession, layer: LayerPlan, plain: Converted): Promise<Converted> {
  const { encryptor } = session.options;
  if (!encryptor)
    throw new TransportError('bad-option', 'layers shall be encrypted, but no encryption key is given');
  const { blob, annotations } = await encryptor.encrypt(plain, layer.source);
  return {
    stream: blob.stream,
    changed: true,
    annotations,
    ...(plain.compression === undefined ? {} : { compression: plain.compression }),
  };
}

/** Joins streams; a failure of any destroys all, and the last one shows it to its reader. */
export function chain(first: Readable, ...rest: NodeJS.ReadWriteStream[]): Readable {
  if (rest.length === 0) return first;
  return pipeline([first, ...rest], () => {}) as unknown as Readable;
}
