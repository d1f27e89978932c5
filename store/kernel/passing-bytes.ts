import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

// Keeps the memory of passing streams low. Their chunks lie outside of V8's heap, which is nearly empty, so V8 lets some
// 64 MB of dead chunks gather before it collects them, and then looks through all of the heap.

/**
 * Bytes of the blocks in which a stream passes best, for those who can choose: a compressor takes each as it is, and
 * what has to be done once for a block, on any thread, is little beside the work on its bytes.
 */
export const BLOCK_BYTES = 1 << 19;

const COLLECT_EVERY_BYTES = 16 << 20;

type Collect = (options: { readonly type: 'minor'; readonly execution: 'sync' }) => void;
let collectYoung: Collect | undefined;
let leftBehind = 0;
const unshared = new WeakSet<ArrayBufferLike>();

/**
 * Call for every chunk that has passed. Collecting the young generation, where dead chunks are, takes well below a
 * millisecond.
 */
export function passed(sizeBytes: number): void {
  leftBehind += sizeBytes;
  if (leftBehind < COLLECT_EVERY_BYTES) return;
  leftBehind = 0;
  collectYoung ??= collector();
  collectYoung({ type: 'minor', execution: 'sync' });
}

/**
 * Says that a chunk is for whoever reads the stream that it is put into, once: what made it does not look at it again,
 * and its last reader may {@link dispose} of it. Without effect on a chunk that is a part of its memory.
 */
export function singleUse<Chunk extends Uint8Array>(chunk: Chunk): Chunk {
  if (chunk.byteLength === chunk.buffer.byteLength) unshared.add(chunk.buffer);
  return chunk;
}

/** True for a {@link singleUse} chunk that nobody has disposed of: its reader may keep it in place of a copy. */
export function isSingleUse(chunk: Uint8Array): boolean {
  return unshared.has(chunk.buffer);
}

/** Gives the memory of a {@link singleUse} chunk back at once; other chunks stay as they are. */
export function dispose(chunk: Uint8Array): void {
  const { buffer, byteLength } = chunk;
  if (!unshared.delete(buffer)) return;
  (buffer as ArrayBuffer).transfer(0);
  leftBehind = Math.max(0, leftBehind - byteLength);
}

function collector(): Collect {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  // V8 takes code caches only with the flags that they were made with.
  setFlagsFromString('--no-expose-gc');
  return collect;
}
