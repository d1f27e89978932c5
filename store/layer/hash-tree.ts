import { poolHash, type RunningHash } from '../kernel/pool-hash.ts';
import { crc64Over } from './crc64.ts';
import type { JobMap } from './jobs.ts';
import { type ArchiveWriter, packInSteps } from './pack-job.ts';
import type { TextSink } from './tar-split-format.ts';
import { sharedMemory } from './wasm.ts';

const PAGE = 65536;
const BLOCK_BYTES = 32 * PAGE;
/** As much of a file is read at a time, so that its checksum finds it in the processor's cache. */
const ROOM_BYTES = 4 * PAGE;

/**
 * Packs a tree of which nobody wants the archive, only its digest and tar-split: this thread reads the files and sums
 * them up, while the pool hashes the block that was filled before. A worker thread would take 50 ms to start.
 */
export async function hashTree(
  args: JobMap['packHashed']['args'],
  sendText: TextSink,
  signal?: AbortSignal,
): Promise<JobMap['packHashed']['result']> {
  const place = idle.pop() ?? makePlace();
  const blocks = new HashedBlocks(place.bytes);
  const sum = (bytes: Buffer, previous: bigint) => place.crc(bytes.byteOffset, bytes.length, previous);
  const steps = packInSteps(args, blocks, sum, sendText);
  try {
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done) return { ...step.value, ...(await blocks.digest()) };
      if (!blocks.isFull) continue;
      signal?.throwIfAborted();
      await blocks.turn();
    }
  } finally {
    steps.return({ contentBytes: 0, uids: [], gids: [], unchanged: [] });
    await blocks.settled();
    idle.push(place);
  }
}

interface Place {
  readonly bytes: Buffer;
  readonly crc: ReturnType<typeof crc64Over>;
}

/** Memory that is used again: nothing tells V8 early enough that it is garbage. */
const idle: Place[] = [];

function makePlace(): Place {
  const pages = (2 * BLOCK_BYTES) / PAGE;
  const memory = sharedMemory(pages);
  return {
    bytes: Buffer.from(memory.buffer as unknown as ArrayBuffer),
    crc: crc64Over(memory, pages),
  };
}

/** Two blocks of memory: one is filled, while the other is hashed. */
export class HashedBlocks implements ArchiveWriter {
  readonly #hash: RunningHash = poolHash();
  readonly #blocks: readonly [Buffer, Buffer];
  #block: Buffer;
  #filled = 0;
  /** What did not fit any more: headers with many attributes. */
  #spilled: Buffer[] = [];
  #hashing: Promise<void> = Promise.resolve();
  #sizeBytes = 0;

  constructor(memory: Buffer) {
    this.#blocks = [memory.subarray(0, BLOCK_BYTES), memory.subarray(BLOCK_BYTES)];
    this.#block = this.#blocks[0];
  }

  /** {@link turn} is to be called before more comes. */
  get isFull(): boolean {
    return this.#filled > BLOCK_BYTES - ROOM_BYTES;
  }

  room(limit: number): Buffer {
    return this.#block.subarray(this.#filled, this.#filled + Math.min(limit, ROOM_BYTES));
  }

  commit(length: number): void {
    this.#filled += length;
  }

  write(bytes: Uint8Array): void {
    const fits = this.#spilled.length > 0 ? 0 : Math.min(bytes.length, BLOCK_BYTES - this.#filled);
    this.#block.set(bytes.subarray(0, fits), this.#filled);
    this.#filled += fits;
    if (fits < bytes.length) this.#spilled.push(Buffer.from(bytes.subarray(fits)));
  }

  end(): void {}

  /** Has the filled block hashed, and gives the other one, once that is. */
  async turn(): Promise<void> {
    await this.#hashing;
    const full = [this.#block.subarray(0, this.#filled), ...this.#spilled];
    this.#hashing = this.#hashAll(full);
    this.#hashing.catch(() => {});
    this.#block = this.#blocks[this.#block === this.#blocks[0] ? 1 : 0];
    this.#filled = 0;
    this.#spilled = [];
  }

  async digest(): Promise<{ readonly diffId: string; readonly sizeBytes: number }> {
    await this.turn();
    await this.#hashing;
    return { diffId: this.#hash.digest(), sizeBytes: this.#sizeBytes };
  }

  /** When the pool has let the memory go. */
  async settled(): Promise<void> {
    await this.#hashing.catch(() => {});
  }

  async #hashAll(pieces: readonly Buffer[]): Promise<void> {
    for (const bytes of pieces) {
      await this.#hash.update(bytes);
      this.#sizeBytes += bytes.length;
    }
  }
}
