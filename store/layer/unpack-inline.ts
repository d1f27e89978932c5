import { startSha256 } from '../kernel/libc.ts';
import { crc64 } from './crc64.ts';
import type { JobMap } from './jobs.ts';
import { unpackJob } from './unpack-job.ts';

/**
 * Small layers are unpacked by the calling thread: starting a worker takes longer than the work. The limit keeps the
 * event loop waiting for a few milliseconds at most.
 */
export const INLINE_BYTES = 1 << 20;

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
