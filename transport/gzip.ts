import { promisify } from 'node:util';
import { constants, crc32, deflateRaw } from 'node:zlib';

const BLOCK_BYTES = 512 * 1024;
const WINDOW_BYTES = 32 * 1024;
/** Blocks compressed or waiting at once: keeps the zlib thread pool busy, bounds memory. */
const IN_FLIGHT = 6;
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const LAST_BLOCK = Buffer.from([0x03, 0x00]);

const deflate = promisify(
  deflateRaw as (
    data: Buffer,
    options: import('node:zlib').ZlibOptions,
    done: (error: Error | null, result: Buffer) => void,
  ) => void,
);

/**
 * Gzip with blocks of 512 KiB compressed in parallel on the zlib thread pool, each primed with the 32 KiB before it,
 * joined to one gzip member (RFC 1952). The bytes depend on input and level alone, not on timing or thread count.
 * @param level 1 to 9; default 6
 */
export async function* gzipParallel(source: AsyncIterable<Buffer>, level = 6): AsyncGenerator<Buffer> {
  const running: Promise<Buffer>[] = [];
  let window: Buffer = Buffer.alloc(0);
  let checksum = 0;
  let length = 0;
  yield HEADER;
  try {
    for await (const block of blocks(source)) {
      checksum = crc32(block, checksum);
      length += block.length;
      running.push(compressBlock(block, window, level));
      window = block.subarray(-WINDOW_BYTES);
      if (running.length >= IN_FLIGHT) yield await (running.shift() as Promise<Buffer>);
    }
    while (running.length) yield await (running.shift() as Promise<Buffer>);
  } finally {
    await Promise.allSettled(running);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE(length % 2 ** 32, 4);
  yield LAST_BLOCK;
  yield trailer;
}

/** A raw deflate block sequence that ends on a byte border without a final block. */
function compressBlock(block: Buffer, window: Buffer, level: number): Promise<Buffer> {
  const done = deflate(block, {
    level,
    finishFlush: constants.Z_SYNC_FLUSH,
    chunkSize: BLOCK_BYTES,
    ...(window.length ? { dictionary: window } : {}),
  });
  // The failure is reported where the block is awaited; until then it must not count as unhandled.
  done.catch(() => {});
  return done;
}

async function* blocks(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of source) {
    parts.push(chunk);
    size += chunk.length;
    if (size < BLOCK_BYTES) continue;
    const joined = parts.length === 1 ? chunk : Buffer.concat(parts);
    let at = 0;
    for (; at + BLOCK_BYTES <= joined.length; at += BLOCK_BYTES) yield joined.subarray(at, at + BLOCK_BYTES);
    parts = at < joined.length ? [joined.subarray(at)] : [];
    size = joined.length - at;
  }
  if (size > 0) yield Buffer.concat(parts);
}
