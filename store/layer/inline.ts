import { closeSync } from 'node:fs';
import { AT_FDCWD, OPEN, openAt } from '../kernel/at.ts';
import { startSha256 } from '../kernel/libc.ts';
import { readDirectory, S_IF, statAt } from '../kernel/stat.ts';
import { RING_PAGES, RingWriter, resetRing, ringsOf } from './byte-ring.ts';
import { crc64, crc64Over } from './crc64.ts';
import type { JobMap } from './jobs.ts';
import { packJob } from './pack-job.ts';
import { unpackJob } from './unpack-job.ts';
import { sharedMemory } from './wasm.ts';

/**
 * Small layers are read and written by the calling thread: starting a worker takes longer than the work. The limits
 * keep the event loop waiting for a few milliseconds at most.
 */
const INLINE_ENTRIES = 200;
export const INLINE_BYTES = 1 << 20;

/** True where a tree is so small that packing it does not deserve a worker. */
export function isSmallTree(root: string): boolean {
  const left = { entries: INLINE_ENTRIES, bytes: INLINE_BYTES };
  return isWithin(AT_FDCWD, Buffer.from(root), left, OPEN.readOnly | OPEN.directory);
}

function isWithin(
  directory: number,
  name: Buffer,
  left: { entries: number; bytes: number },
  flags: number = OPEN.readOnly | OPEN.directory | OPEN.noFollow,
): boolean {
  const fd = openAt(directory, name, flags);
  try {
    const entries = readDirectory(fd);
    left.entries -= entries.length;
    return entries.every((entry) => {
      if (left.entries < 0) return false;
      if (entry.type === S_IF.directory) return isWithin(fd, entry.name, left);
      if (entry.type === S_IF.regular) left.bytes -= statAt(fd, entry.name).sizeBytes;
      return left.bytes >= 0;
    });
  } finally {
    closeSync(fd);
  }
}

let packing:
  | { readonly rings: ReturnType<typeof ringsOf>; readonly crc: ReturnType<typeof crc64Over> }
  | undefined;

/** Packs at once. @returns the result, and the archive where `hasOutput` asks for it */
export function packInline(
  args: JobMap['packHashed']['args'],
  sendText: (text: Buffer<ArrayBuffer>) => void,
): { readonly result: JobMap['packHashed']['result']; readonly archive: Buffer[] } {
  if (!packing) {
    const memory = sharedMemory(RING_PAGES);
    packing = { rings: ringsOf(memory), crc: crc64Over(memory, RING_PAGES) };
  }
  const { rings, crc } = packing;
  resetRing(rings.output);
  const hash = startSha256();
  const archive: Buffer[] = [];
  let sizeBytes = 0;
  const output = new RingWriter(rings.output, false, (bytes) => {
    hash.update(bytes);
    sizeBytes += bytes.length;
    if (args.hasOutput) archive.push(Buffer.from(bytes));
  });
  const counts = packJob(
    args,
    output,
    (bytes, previous) => crc(bytes.byteOffset, bytes.length, previous),
    sendText,
  );
  return { result: { ...counts, diffId: hash.digest().toString('hex'), sizeBytes }, archive };
}

/** Unpacks an archive that lies in memory at once. */
export function unpackInline(
  args: JobMap['apply']['args'],
  archive: Buffer,
  sendText: (text: Buffer<ArrayBuffer>) => void,
): JobMap['apply']['result'] {
  let at = 0;
  const source = {
    next: (limit: number) => {
      const view = archive.subarray(at, at + limit);
      at += view.length;
      return view;
    },
  };
  const counts = unpackJob(args, source, crc64, sendText);
  const hash = startSha256();
  hash.update(archive);
  return { ...counts, diffId: hash.digest().toString('hex'), sizeBytes: archive.length };
}
