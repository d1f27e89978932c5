import { spawn } from 'node:child_process';
import { PassThrough, pipeline, type Readable, Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { singleUse } from '../kernel/passing-bytes.ts';
import { ZstdDecompressor } from './zstd.ts';

/** The compressions that are recognized; layers are `none`, `gzip` or `zstd`, archives of users may be any. */
export type KnownCompression = 'none' | 'gzip' | 'zstd' | 'bzip2' | 'xz';

const MAGIC: readonly (readonly [KnownCompression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];
const MAGIC_BYTES = 6;

/** The compression by the first bytes of a stream (six are enough). */
export function detectCompression(first: Uint8Array): KnownCompression {
  for (const [name, magic] of MAGIC) if (magic.every((byte, at) => first[at] === byte)) return name;
  // A zstd skippable frame may come first: 0x184D2A50 to 0x184D2A5F.
  const isSkippable = first[0] !== undefined && (first[0] & 0xf0) === 0x50;
  if (isSkippable && first[1] === 0x2a && first[2] === 0x4d && first[3] === 0x18) return 'zstd';
  return 'none';
}

/** A stream with its first bytes looked at. */
export interface PeekedStream {
  readonly compression: KnownCompression;
  /** The whole stream, first bytes included. */
  readonly stream: Readable;
}

/** Recognizes the compression of a stream by its first bytes. Reads `source`; use the returned stream instead. */
export async function peekCompression(source: Readable): Promise<PeekedStream> {
  const first: Buffer[] = [];
  let length = 0;
  const iterator = source.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer | string>;
  while (length < MAGIC_BYTES) {
    const next = await iterator.next();
    if (next.done) break;
    const bytes = typeof next.value === 'string' ? Buffer.from(next.value) : next.value;
    first.push(bytes);
    length += bytes.length;
  }
  const start = Buffer.concat(first, length);
  const stream = new PassThrough({ highWaterMark: 1 << 18 });
  stream.write(start);
  await iterator.return?.();
  if (source.readableEnded) stream.end();
  else pipeline(source, stream, () => {});
  return { compression: detectCompression(start), stream };
}

/**
 * The plain bytes of a compressed stream. Several members or frames in a row are one stream; a cut stream and
 * garbage after the end are errors, zero padding is not.
 * @throws (as the stream's error) StoreError `bad-compression`; `unsupported` where bzip2 or xz are not installed
 */
export function decompressed(source: Readable, compression: KnownCompression): Readable {
  if (compression === 'none') return source;
  const decoder = decoderOf(compression);
  // In object mode a reader gets each chunk as it is: in byte mode those that have gathered would be joined.
  const output = new PassThrough({
    readableObjectMode: true,
    readableHighWaterMark: 2,
    writableHighWaterMark: 1 << 18,
  });
  // A gzip decoder may end before its input does, at zero padding. The output ends when the input has: only then is
  // it known that the compressed bytes are the right ones.
  let waitingFor = 2;
  decoder.on('data', singleUse);
  const finish = () => {
    waitingFor -= 1;
    if (waitingFor === 0) output.end();
  };
  const fail = (error: Error) => output.destroy(asStoreError(error, compression));
  pipeline(source, decoder, (error) => (error ? fail(error) : finish()));
  decoder.on('end', finish).on('error', fail);
  output.on('close', () => decoder.destroy());
  decoder.pipe(output, { end: false });
  return output;
}

function decoderOf(compression: Exclude<KnownCompression, 'none'>): Transform {
  if (compression === 'gzip') return createGunzip({ chunkSize: 1 << 17 });
  return compression === 'zstd' ? new ZstdDecompressor() : programStream(compression);
}

/** {@link peekCompression} and {@link decompressed} in one. */
export async function detectAndDecompress(source: Readable): Promise<PeekedStream> {
  const peeked = await peekCompression(source);
  return { compression: peeked.compression, stream: decompressed(peeked.stream, peeked.compression) };
}

function asStoreError(error: Error, compression: KnownCompression): Error {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (!/^(?:Z|ZSTD|ERR_ZLIB)_/.test(code)) return error;
  const isCut = code === 'Z_BUF_ERROR';
  const why = isCut ? 'it ends too early' : error.message;
  return new StoreError(
    isCut ? 'truncated' : 'bad-compression',
    `cannot decompress ${compression} data: ${why}`,
    {
      cause: error,
    },
  );
}

/** bzip2 and xz come only with archives of users; the programs of the system read them. */
function programStream(program: 'bzip2' | 'xz'): Transform {
  const child = spawn(program, ['-d', '-c', '-q'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin', LC_ALL: 'C' },
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, 1000);
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', (error) => reject(missingProgram(error, program)));
    child.on('close', (code) => {
      if (code === 0) return resolve();
      const why = complaint.trim().split('\n')[0] ?? '';
      reject(
        new StoreError('bad-compression', `cannot decompress ${program} data: ${why || `exit code ${code}`}`),
      );
    });
  });
  ended.catch(() => {});
  child.stdin.on('error', () => {});
  const stream = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      if (child.stdin.write(chunk) || child.stdin.destroyed) done();
      else {
        const go = () => {
          child.stdin.off('drain', go).off('close', go);
          done();
        };
        child.stdin.on('drain', go).on('close', go);
      }
    },
    flush(done) {
      child.stdin.end();
      ended.then(() => done(), done);
    },
    destroy(error, done) {
      child.kill('SIGKILL');
      done(error);
    },
  });
  child.stdout.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) child.stdout.pause();
  });
  const read = stream._read.bind(stream);
  stream._read = (size) => {
    child.stdout.resume();
    read(size);
  };
  ended.catch((error: Error) => stream.destroy(error));
  return stream;
}

function missingProgram(error: Error, program: string): Error {
  if (!isSystemError(error, 'ENOENT')) return error;
  return new StoreError(
    'unsupported',
    `the data is compressed with ${program}, and the program is not installed`,
    {
      hint: `Install ${program === 'xz' ? 'xz-utils' : program}, or compress with gzip or zstd.`,
    },
  );
}
