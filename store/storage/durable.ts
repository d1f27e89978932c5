import { closeSync, fdatasyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { randomBytes } from '../kernel/random.ts';

/**
 * Replaces a file whole: temporary file in the same directory, data on disk, rename. A reader sees the old or the
 * new content; a crash leaves at most a `.tmp-` file.
 * @param options.sync false where a power cut may lose it (volatile data)
 */
export function writeFileDurably(
  path: string,
  data: Uint8Array | string,
  options: { readonly sync?: boolean; readonly mode?: number } = {},
): void {
  const temporary = join(
    dirname(path),
    `.tmp-${basename(path).slice(0, 64)}${randomBytes(6).toString('hex')}`,
  );
  const fd = openForWriting(temporary, options.mode ?? 0o600);
  try {
    try {
      writeAll(fd, typeof data === 'string' ? Buffer.from(data) : data);
      if (options.sync !== false) fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new StoreError('system', `writing ${path}: ${describe(cause)}`, {
      cause,
      hint: isSystemError(cause, 'ENOSPC', 'EDQUOT') ? 'free some disk space and try again' : undefined,
    });
  }
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

function writeAll(fd: number, data: Uint8Array): void {
  for (let at = 0; at < data.length; ) at += writeSync(fd, data, at);
}

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
