import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { isSystemError } from '../../errors.ts';
import { TransportError } from '../error.ts';

/** An archive file being written: under a temporary name beside its place, or straight into a pipe or device. */
export interface ArchiveOutput {
  readonly stream: Writable;
  /** After the stream has ended: gives the file its name. */
  publish(): Promise<void>;
  /** Removes what was written. */
  discard(): Promise<void>;
}

/**
 * @param refuse the message of the error for a file that exists and is not empty; undefined: it is replaced
 * @throws TransportError `exists`
 */
export async function openArchiveOutput(path: string, refuse?: string): Promise<ArchiveOutput> {
  const found = await stat(path).catch((error: unknown) => {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (found && !found.isFile()) return pipeOutput(path, found.isDirectory());
  if (found?.size && refuse !== undefined)
    throw new TransportError('exists', refuse, {
      hint: `remove ${path} or name another file`,
      facts: { path },
    });
  const temporary = `${path}.tmp-${randomBytes(6).toString('hex')}`;
  const stream = createWriteStream(temporary, {
    flags: 'wx',
    mode: found ? found.mode & 0o777 : 0o644,
    highWaterMark: 1 << 20,
    flush: true,
  });
  await opened(stream);
  return {
    stream,
    publish: () => rename(temporary, path),
    async discard() {
      stream.destroy();
      await rm(temporary, { force: true });
    },
  };
}

async function pipeOutput(path: string, isDirectory: boolean): Promise<ArchiveOutput> {
  if (isDirectory)
    throw new TransportError('bad-reference', `open ${path}: is a directory`, {
      hint: 'name a file',
      facts: { path },
    });
  const stream = createWriteStream(path, { flags: 'a', highWaterMark: 1 << 20 });
  await opened(stream);
  return {
    stream,
    async publish() {},
    async discard() {
      stream.destroy();
    },
  };
}

function opened(stream: import('node:fs').WriteStream): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once('open', () => resolve());
    stream.once('error', reject);
  });
}
