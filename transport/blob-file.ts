import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isSystemError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import type { BlobStream } from '../store/blob/contract.ts';
import { type BlobClaim, BlobMeter, expectedOf } from '../store/blob/verify.ts';
import { StoreError } from '../store/error.ts';
import { TransportError } from './error.ts';
import { FileSink } from './file-sink.ts';

/** A blob in a temporary file: `place` gives it its final name, `discard` removes it. */
export interface StagedBlob {
  readonly path: string;
  readonly digest: Digest;
  readonly size: number;
  /** Renames into place, making parent directories. */
  place(path: string): Promise<void>;
  discard(): Promise<void>;
}

/** How {@link stageBlob} writes. */
export interface StageOptions {
  readonly signal?: AbortSignal;
  /** False leaves flushing to the system, for files that are gone soon. Default true. */
  readonly sync?: boolean;
  /** The stream checks itself against the expected digest. */
  readonly verified?: boolean;
  /** After a failure that says nothing against the bytes, keep what was written when it is more than a megabyte. */
  readonly keepPartial?: boolean;
}

/**
 * Writes a blob to a new file `<prefix>-<random>` in `directory` (same disk as its later place), synced and 0644.
 * On any failure the file is gone.
 * @throws StoreError `digest-mismatch`, `truncated`, `too-large`
 */
export async function stageBlob(
  directory: string,
  prefix: string,
  blob: BlobStream,
  expected: BlobClaim,
  options: StageOptions = {},
): Promise<StagedBlob> {
  const path = join(directory, `${prefix}-${randomBytes(8).toString('hex')}`);
  const file = new FileSink(path, { sync: options.sync ?? true });
  try {
    const info = await write(blob, file, expected, options);
    return {
      path,
      ...info,
      async place(target) {
        await mkdir(dirname(target), { recursive: true, mode: 0o755 });
        await rename(path, target);
      },
      discard: () => rm(path, { force: true }),
    };
  } catch (error) {
    if (!options.keepPartial || isWrong(error) || file.bytesWritten < PARTIAL_BYTES)
      await rm(path, { force: true });
    throw error;
  }
}

const PARTIAL_BYTES = 1 << 20;

function isWrong(error: unknown): boolean {
  return error instanceof StoreError;
}

async function write(
  blob: BlobStream,
  file: FileSink,
  expected: BlobClaim,
  { signal, verified }: StageOptions,
): Promise<{ digest: Digest; size: number }> {
  if (verified && expected.digest !== undefined) {
    await pipeline(blob.stream, file, { signal });
    return { digest: expected.digest, size: file.bytesWritten };
  }
  const verify = new BlobMeter(expectedOf(expected));
  await pipeline(blob.stream, verify, file, { signal });
  return { digest: verify.info.digest, size: verify.sizeBytes };
}

/** Replaces a file as a whole: temporary file beside it, synced, renamed. */
export async function replaceFile(path: string, bytes: Uint8Array, mode = 0o644): Promise<void> {
  const temporary = `${path}.tmp-${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * A whole document from disk.
 * @param what names it in errors, such as `manifest`
 * @throws TransportError `size-mismatch` when it is larger than `limitBytes`
 */
export async function readDocument(path: string, limitBytes: number, what: string): Promise<Uint8Array> {
  const file = await openRegular(path);
  try {
    const { size } = await file.stat();
    if (size > limitBytes) throw tooLarge(what, path, limitBytes);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/**
 * Opens a file of a layout that somebody else made: a pipe would be waited for, a device read for ever (SECURITY I4).
 * @throws TransportError `bad-layout`
 */
export async function openRegular(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new TransportError('bad-layout', `open ${path}: not a regular file`, { facts: { path } });
}

export function tooLarge(what: string, where: string, limitBytes: number): TransportError {
  return new TransportError(
    'size-mismatch',
    `${what} ${where}: exceeded maximum allowed size of ${limitBytes} bytes`,
  );
}

/** For a file that has to be there: the error that says it is not. */
export function missing(path: string): (error: unknown) => never {
  return (cause) => {
    if (!isSystemError(cause, 'ENOENT', 'ENOTDIR')) throw cause;
    throw new TransportError('not-found', `open ${path}: no such file or directory`, {
      cause,
      facts: { path },
    });
  };
}
