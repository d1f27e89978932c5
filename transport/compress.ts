import { pipeline, type Readable } from 'node:stream';
import { compressStream } from '../store/blob/compress.ts';
import { TransportError } from './error.ts';

/** A compressor's setting: the algorithm and its level (gzip 1 to 9, zstd 1 to 22; absent: the compressor's default). */
export interface CompressionChoice {
  readonly format: 'gzip' | 'zstd' | 'zstd:chunked';
  readonly level?: number;
}

/**
 * Compresses a stream; equal input and choice give equal bytes.
 * @throws TransportError `bad-option` for a level that the algorithm does not have
 */
export function compress(plain: Readable, choice: CompressionChoice): Readable {
  checkLevel(choice);
  const { format, level } = choice;
  const stream = compressStream(format === 'gzip' ? 'gzip' : 'zstd', level === undefined ? {} : { level });
  if (!stream) throw new Error(`no compressor for ${format}`);
  return pipeline(plain, stream, () => {});
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
