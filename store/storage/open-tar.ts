import { pipeline, Readable, type Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Compression } from '../../image/media-type.ts';
import { ZstdDecompressor } from '../blob/zstd.ts';
import { StoreError } from '../error.ts';

const CHUNK_BYTES = 1 << 17;

/**
 * The plain tar of a stream that may be compressed, told by its first bytes as archive.DetectCompression does.
 * @param through sees the bytes as they come in
 * @throws StoreError `bad-compression` for formats that cannot be read
 */
export async function openTar(
  tar: Readable,
  through: Transform,
  signal?: AbortSignal,
): Promise<{ readonly plain: Readable; readonly compression: Compression }> {
  pipeline(tar, through, () => {});
  const head = await firstBytes(through, signal);
  const compression = detect(head);
  if (compression === 'none') return { plain: through, compression };
  const inflate = compression === 'gzip' ? createGunzip({ chunkSize: CHUNK_BYTES }) : new ZstdDecompressor();
  pipeline(through, inflate, () => {});
  return { plain: Readable.from(explained(inflate, compression), { objectMode: false }), compression };
}

async function* explained(inflate: AsyncIterable<Buffer>, compression: Compression): AsyncGenerator<Buffer> {
  try {
    yield* inflate;
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    if (!/^(Z_|ZSTD_)/.test(code) && !code.startsWith('ERR_')) throw cause;
    throw new StoreError(
      'bad-compression',
      `the layer's ${compression} stream is damaged: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

function firstBytes(stream: Transform, signal?: AbortSignal): Promise<Buffer> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      stream.off('readable', look).off('error', fail);
      settle();
    };
    const fail = (error: Error) => finish(() => reject(error));
    const look = () => {
      const chunk = stream.read() as Buffer | null;
      if (chunk === null && !stream.readableEnded) return;
      if (chunk !== null) stream.unshift(chunk);
      finish(() => resolve(chunk ?? Buffer.alloc(0)));
    };
    stream.on('readable', look).on('error', fail).once('end', look);
  });
}

function detect(head: Buffer): Compression {
  const starts = (...bytes: number[]) => bytes.every((byte, at) => head[at] === byte);
  if (starts(0x1f, 0x8b)) return 'gzip';
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  if (starts(0x42, 0x5a, 0x68)) throw unsupported('bzip2');
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0)) throw unsupported('xz');
  return 'none';
}

function unsupported(name: string): StoreError {
  return new StoreError('bad-compression', `the layer is compressed with ${name}, which is not supported`);
}
