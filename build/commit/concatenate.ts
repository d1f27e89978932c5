import type { Readable } from 'node:stream';
import { END_OF_ARCHIVE_BYTES } from '../../store/layer/tar-header.ts';

/** One archive of several: the end of each but the last is left out. Each ends as tar archives of ours do. */
export async function* concatenateTars(tars: readonly Readable[]): AsyncGenerator<Buffer> {
  for (const [index, tar] of tars.entries()) {
    if (index === tars.length - 1) yield* tar as AsyncIterable<Buffer>;
    else yield* withoutEnd(tar);
  }
}

async function* withoutEnd(tar: Readable): AsyncGenerator<Buffer> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of tar as AsyncIterable<Buffer>) {
    const all = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const ready = all.length - END_OF_ARCHIVE_BYTES;
    if (ready > 0) yield all.subarray(0, ready);
    held = all.subarray(Math.max(ready, 0));
  }
}
