import { Readable, type Transform } from 'node:stream';
import { constants, createGunzip, createZstdCompress } from 'node:zlib';
import type { Compression } from '../image/media-type.ts';
import { ZstdDecompressor } from '../store/blob/zstd.ts';
import { TransportError } from './error.ts';
import { gzipParallel } from './gzip.ts';

/** What a blob's first bytes say; `bzip2` and `xz` are recognised so that they can be named, not read. */
export type DetectedCompression = Compression | 'bzip2' | 'xz';

/** Bytes that {@link detectCompression} needs. */
export const MAGIC_BYTES = 6;

const MAGIC: readonly (readonly [DetectedCompression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

export function detectCompression(head: Uint8Array): DetectedCompression {
  const found = MAGIC.find(([, magic]) => magic.every((byte, index) => head[index] === byte));
  return found?.[0] ?? 'none';
}

/** Reads the first bytes of a stream and gives them with a stream that has all of it. */
export async function peek(stream: Readable): Promise<{ readonly head: Buffer; readonly stream: Readable }> {
  const iterator: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]();
  const chunks: Buffer[] = [];
  let size = 0;
  while (size < MAGIC_BYTES) {
    const { value, done } = await iterator.next();
    if (done) break;
    chunks.push(value);
    size += value.length;
  }
  const head = Buffer.concat(chunks);
  async function* whole(): AsyncGenerator<Buffer> {
    try {
      if (head.length) yield head;
      for (;;) {
        const { value, done } = await iterator.next();
        if (done) return;
        yield value;
      }
    } finally {
      stream.destroy();
    }
  }
  return { head, stream: Readable.from(whole(), { highWaterMark: 2 }) };
}

/** @throws TransportError `unsupported` for bzip2 and xz, which no image format allows */
export function decompressor(compression: Exclude<DetectedCompression, 'none'>): Transform {
  if (compression === 'gzip') return createGunzip({ chunkSize: 1 << 18 });
  // Not node:zlib's own, which drops what follows the first frame.
  if (compression === 'zstd') return new ZstdDecompressor();
  throw new TransportError('unsupported', `${compression}-compressed data is not supported here`, {
    hint: `decompress it first with ${compression} -d`,
  });
}

/** For use in a pipeline: plain bytes whatever the compression, found by magic bytes. */
export async function* autoDecompress(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { head, stream } = await peek(source instanceof Readable ? source : Readable.from(source));
  const compression = detectCompression(head);
  if (compression === 'none') {
    yield* stream;
    return;
  }
  const plain = decompressor(compression);
  stream.on('error', (error) => plain.destroy(error));
  yield* stream.pipe(plain);
}

/** A compressor's setting: the algorithm and its level (gzip 1 to 9, zstd 1 to 22; absent: its default). */
export interface CompressionChoice {
  readonly format: 'gzip' | 'zstd' | 'zstd:chunked';
  readonly level?: number;
}

/**
 * Compresses a stream; equal input and choice give equal bytes.
 * @throws TransportError `bad-option` for a level that the algorithm does not have
 */
export function compress(plain: Readable, choice: CompressionChoice): Readable {
  const { format, level } = choice;
  checkLevel(choice);
  if (format === 'gzip') return Readable.from(gzipParallel(plain, level), { highWaterMark: 4 });
  const stream = createZstdCompress({
    chunkSize: 1 << 18,
    params: {
      [constants.ZSTD_c_compressionLevel]: level ?? 3,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
  plain.on('error', (error) => stream.destroy(error));
  stream.on('close', () => plain.destroy());
  return plain.pipe(stream);
}

/** @throws TransportError `bad-option` */
export function checkLevel({ format, level }: CompressionChoice): void {
  const highest = format === 'gzip' ? 9 : 22;
  if (level !== undefined && (!Number.isInteger(level) || level < 1 || level > highest))
    throw new TransportError(
      'bad-option',
      `invalid compression level ${level} for ${format}: it is from 1 to ${highest}`,
    );
}
