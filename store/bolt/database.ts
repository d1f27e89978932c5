import { closeSync, constants, fdatasync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { StoreError } from '../error.ts';
import { lockWithFlock } from '../kernel/flock.ts';
import type { BoltBucket } from './bucket.ts';
import { type Meta, metaPage } from './format.ts';
import { readBoltState } from './read.ts';
import { firstPages, planCommit, type WrittenPage } from './write.ts';

/** Such files are read whole. Those of Podman that we know stay under a hundred kilobytes. */
const LIMIT_BYTES = 64 * 2 ** 20;
/** That of the machines on which our byte order is theirs; bbolt takes any. */
const PAGE_BYTES = 4096;
/** Not the one that blocks: a disk may take a tenth of a second, while others run. */
const synchronize = promisify(fdatasync);

/**
 * One transaction on a bbolt database, which is made where it is missing, under the lock that bbolt takes. What
 * `change` does to the buckets is written when it returns, whole or not at all, and dropped when it throws.
 * @throws StoreError `corrupt-store`, `too-large`, `system`; the signal's reason while the lock is waited for
 */
export async function updateBolt<T>(
  path: string,
  change: (root: BoltBucket) => T,
  options: { readonly signal?: AbortSignal } = {},
): Promise<T> {
  const fd = openDatabase(path);
  try {
    await lockWithFlock(fd, options.signal);
    if (fstatSync(fd).size === 0) await create(fd);
    const state = readNamed(path, readWhole(fd, path));
    const result = change(state.root);
    const commit = planCommit(state);
    if (commit) await write(fd, commit.pages, commit.meta);
    return result;
  } finally {
    closeSync(fd);
  }
}

function openDatabase(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (cause) {
    throw new StoreError('system', `opening the database ${path}: ${(cause as Error).message}`, { cause });
  }
}

function readNamed(path: string, file: Buffer) {
  try {
    return readBoltState(file);
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause;
    throw new StoreError(cause.code, `${path} is no readable bolt database: ${cause.message}`, { cause });
  }
}

function readWhole(fd: number, path: string): Buffer {
  const status = fstatSync(fd);
  if (!status.isFile()) throw new StoreError('corrupt-store', `${path} is not a file`);
  if (status.size > LIMIT_BYTES)
    throw new StoreError('too-large', `${path} has more than ${LIMIT_BYTES} bytes`);
  const bytes = Buffer.alloc(status.size);
  let length = 0;
  while (length < bytes.length) {
    const read = readSync(fd, bytes, length, bytes.length - length, length);
    if (read === 0) break;
    length += read;
  }
  return bytes.subarray(0, length);
}

async function create(fd: number): Promise<void> {
  const { pages, metas } = firstPages(PAGE_BYTES);
  const all = [...metas.map(metaPage), ...pages].map(({ bytes }) => bytes);
  writeAt(fd, Buffer.concat(all), 0);
  await synchronize(fd);
}

/** The old state's meta is valid until the last write, which fits one sector of a disk. */
async function write(fd: number, pages: readonly WrittenPage[], meta: Meta): Promise<void> {
  for (const { id, bytes } of pages) writeAt(fd, bytes, id * meta.pageSize);
  await synchronize(fd);
  const page = metaPage(meta);
  writeAt(fd, page.bytes, page.id * meta.pageSize);
  await synchronize(fd);
}

function writeAt(fd: number, bytes: Buffer, position: number): void {
  let done = 0;
  while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}
