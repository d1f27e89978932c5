import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isSystemError } from '../../errors.ts';
import { detectAndDecompress, detectCompression } from '../../store/blob/compression.ts';
import type { TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { ArchiveMembers } from './members.ts';

/** An archive open for reading, with the temporary copy that a compressed or unseekable one needs. */
export interface OpenArchive extends AsyncDisposable {
  readonly members: ArchiveMembers;
}

/**
 * Opens a tar file; one that is compressed, or a pipe, is first copied plain to the temporary directory.
 * @throws TransportError `not-found`, `bad-archive`
 */
export async function openArchive(path: string, context: TransportContext): Promise<OpenArchive> {
  const { isFile, head } = await peek(path);
  if (isFile && detectCompression(head) === 'none') {
    const members = await ArchiveMembers.open(path);
    return { members, [Symbol.asyncDispose]: () => members[Symbol.asyncDispose]() };
  }
  const copy = join(context.temporaryDirectory, `slipway-archive-${randomBytes(8).toString('hex')}`);
  try {
    await copyPlain(path, copy, context.signal);
    const members = await ArchiveMembers.open(copy);
    return {
      members,
      async [Symbol.asyncDispose]() {
        await members[Symbol.asyncDispose]();
        await rm(copy, { force: true });
      },
    };
  } catch (error) {
    await rm(copy, { force: true });
    throw error;
  }
}

async function peek(path: string): Promise<{ isFile: boolean; head: Buffer }> {
  const found = await stat(path).catch((cause: unknown) => {
    if (!isSystemError(cause, 'ENOENT', 'ENOTDIR')) throw cause;
    throw new TransportError('not-found', `archive file not found: ${JSON.stringify(path)}`, {
      cause,
      facts: { path },
    });
  });
  if (found.isDirectory())
    throw new TransportError('bad-archive', `${path} is a directory, not an archive`, { facts: { path } });
  if (!found.isFile()) return { isFile: false, head: Buffer.alloc(0) };
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(16), 0, 16, 0);
    return { isFile: true, head: buffer.subarray(0, bytesRead) };
  } finally {
    await file.close();
  }
}

async function copyPlain(path: string, copy: string, signal?: AbortSignal): Promise<void> {
  const out = createWriteStream(copy, { flags: 'wx', mode: 0o600, highWaterMark: 1 << 20 });
  const { stream } = await detectAndDecompress(createReadStream(path, { highWaterMark: 1 << 20 }));
  await pipeline(stream, out, { signal });
}
