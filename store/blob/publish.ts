import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';

/** Temporary files are named so, in the directory of the final file. */
export const TEMPORARY_PREFIX = '.slipway-tmp-';

/** Options of {@link publishFile}. */
export interface PublishOptions {
  /** Permission bits of the file. Default 0o644. */
  readonly mode?: number;
  /** fsync the file and its directory before returning. Default true. */
  readonly sync?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Writes a file so that a reader sees the old one or the whole new one, and never less: a temporary file in the same
 * directory, fsync, rename. A stream that fails leaves nothing behind.
 * @throws StoreError `system` naming the path, the stream's own error, the signal's reason
 */
export async function publishFile(
  path: string,
  data: Uint8Array | string | Readable,
  options: PublishOptions = {},
): Promise<void> {
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${randomBytes(8).toString('hex')}`);
  try {
    await using file = await open(temporary, 'wx', options.mode ?? 0o644);
    await write(file, data, options.signal);
    if (options.sync ?? true) await file.datasync();
    options.signal?.throwIfAborted();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw describe(error, path);
  }
  if (options.sync ?? true) await syncDirectory(dirname(path));
}

async function write(
  file: FileHandle,
  data: Uint8Array | string | Readable,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (typeof data === 'string' || data instanceof Uint8Array) {
    await file.writeFile(data, { signal });
    return;
  }
  const stop = () => data.destroy(signal?.reason as Error);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    for await (const chunk of data) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Uint8Array);
      for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
    }
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** Makes a rename in a directory last. File systems that cannot are passed over. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  await using directory = await open(path, 'r');
  try {
    await directory.sync();
  } catch (error) {
    if (!isSystemError(error, 'EINVAL', 'ENOTSUP', 'EPERM')) throw error;
  }
}

function describe(error: unknown, path: string): unknown {
  if (!isSystemError(error) || error instanceof StoreError || error.syscall === undefined) return error;
  return new StoreError('system', `cannot write ${basename(path)} in ${dirname(path)}: ${error.message}`, {
    cause: error,
    facts: { path, errno: error.code },
  });
}
