import { readSync, writeSync } from 'node:fs';
import { lastErrno, libcFunction, loadKoffi, type NativeFunction, systemError } from './libc.ts';
import { ioctl } from './syscall.ts';

const FICLONE = 0x40049409;
const CHUNK_BYTES = 1 << 30;
/** How much is copied between two looks at a signal. */
const ASIDE_BYTES = 32 << 20;
const RANGE = ['int', 'void*', 'int', 'void*', 'size_t', 'unsigned int'];
const nativeCopyFileRange = libcFunction('copy_file_range', 'intptr_t', RANGE);

/** Shares the blocks of one file with another (reflink). False where the file systems cannot. */
export function cloneFile(source: number, destination: number): boolean {
  try {
    ioctl(destination, FICLONE, source);
    return true;
  } catch {
    return false;
  }
}

/** Copies a whole file by the cheapest way there is: reflink, in-kernel copy, then reading and writing. */
export function copyFileContents(source: number, destination: number): void {
  if (cloneFile(source, destination)) return;
  for (let copied = 0; ; ) {
    const count = nativeCopyFileRange(source, null, destination, null, CHUNK_BYTES, 0);
    if (count > 0) {
      copied += count;
      continue;
    }
    if (count < 0 && copied > 0) throw systemError(lastErrno(), 'copy_file_range');
    if (copied > 0) return;
    break;
  }
  const buffer = Buffer.alloc(1 << 18);
  for (;;) {
    const count = readSync(source, buffer);
    if (count === 0) return;
    for (let written = 0; written < count; )
      written += writeSync(destination, buffer, written, count - written);
  }
}

let rangeAside: NativeFunction | undefined;

/** The same on a thread of libuv's pool, while the event loop goes on. @throws the signal's reason */
export async function copyFileContentsAside(
  source: number,
  destination: number,
  signal?: AbortSignal,
): Promise<void> {
  if (cloneFile(source, destination)) return;
  rangeAside ??= loadKoffi().load(null).func('copy_file_range', 'intptr_t', RANGE);
  for (let copied = 0; ; ) {
    signal?.throwIfAborted();
    const count = await copyRangeAside(rangeAside, source, destination);
    if (count === 0 && copied > 0) return;
    if (count <= 0) break;
    copied += count;
  }
  // Says why it does not work, or goes on in another way.
  copyFileContents(source, destination);
}

function copyRangeAside(range: NativeFunction, source: number, destination: number): Promise<number> {
  return new Promise((resolve, reject) => {
    range.async(source, null, destination, null, ASIDE_BYTES, 0, (error: Error | null, count: number) => {
      if (error) reject(error);
      else resolve(count);
    });
  });
}
