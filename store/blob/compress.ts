import type { Transform } from 'node:stream';
import { constants, createZstdCompress } from 'node:zlib';
import type { Compression } from '../../image/media-type.ts';
import { GzipStream } from './gzip.ts';

/** Options of {@link compressStream}. */
export interface CompressOptions {
  /** gzip: 1 to 9, by default the compressor's own. zstd: 1 to 22, default 3. */
  readonly level?: number;
}

/**
 * A stream that compresses what is written to it; undefined for `none`. The same input, compression and level give
 * the same bytes on every machine with the same Node version; for gzip where all of them have libdeflate, or none.
 */
export function compressStream(
  compression: Compression,
  options: CompressOptions = {},
): Transform | undefined {
  if (compression === 'gzip') return new GzipStream(options);
  if (compression === 'zstd') return zstdStream(options.level);
  return undefined;
}

/** zstd in one frame with a checksum. */
function zstdStream(level = 3): Transform {
  return createZstdCompress({
    chunkSize: 1 << 17,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
}
