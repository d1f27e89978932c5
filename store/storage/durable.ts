import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { randomBytes } from '../kernel/random.ts';

/** A file that is to be replaced whole. */
export interface FileContents {
  readonly path: string;
  readonly data: Uint8Array | string;
  /** False where a power cut may lose it (volatile data). */
  readonly sync?: boolean;
  readonly mode?: number;
}

/**
 * Replaces a file whole: temporary file in the same directory, data on disk, rename. A reader sees the old or the
 * new content; a crash leaves at most a `.tmp-` file.
 */
export function writeFileDurably(
  path: string,
  data: Uint8Array | string,
  options: Pick<FileContents, 'sync' | 'mode'> = {},
): void {
  const temporary = temporaryOf(path);
  const fd = openForWriting(temporary, options.mode ?? 0o600);
  try {
    try {
      writeAll(fd, data);
      if (options.sync !== false) fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw failure(path, cause);
  }
}

/**
 * As {@link writeFileDurably} for several files, which get their names one after the other when the data of all is on
 * disk: disks put several in the time of one.
 */
export async function writeFilesDurably(files: readonly FileContents[]): Promise<void> {
  const open: { readonly file: FileContents; readonly temporary: string; readonly fd: number }[] = [];
  let at = files[0]?.path ?? '';
  try {
    try {
      for (const file of files) {
        at = file.path;
        const temporary = temporaryOf(at);
        const fd = openForWriting(temporary, file.mode ?? 0o600);
        open.push({ file, temporary, fd });
        writeAll(fd, file.data);
      }
      const synced = open.map(({ file, fd }) => (file.sync === false ? undefined : promisify(fdatasync)(fd)));
      // No descriptor may be closed under the disk's hands.
      const [failed] = (await Promise.allSettled(synced)).filter(({ status }) => status === 'rejected');
      if (failed) throw (failed as PromiseRejectedResult).reason;
    } finally {
      for (const { fd } of open) closeSync(fd);
    }
    for (const { file, temporary } of open) {
      at = file.path;
      renameSync(temporary, at);
    }
  } catch (cause) {
    for (const { temporary } of open) rmSync(temporary, { force: true });
    throw failure(at, cause);
  }
}

function temporaryOf(path: string): string {
  return join(dirname(path), `.tmp-${basename(path).slice(0, 64)}${randomBytes(6).toString('hex')}`);
}

function failure(path: string, cause: unknown): StoreError {
  return new StoreError('system', `writing ${path}: ${describe(cause)}`, {
    cause,
    hint: isSystemError(cause, 'ENOSPC', 'EDQUOT') ? 'free some disk space and try again' : undefined,
  });
}

function openForWriting(path: string, mode: number): number {
  try {
    return openSync(path, 'wx', mode);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return openSync(path, 'wx', mode);
  }
}

function writeAll(fd: number, data: Uint8Array | string): void {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
