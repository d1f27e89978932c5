import { startSha256 } from '../kernel/libc.ts';
import { singleUse } from '../kernel/passing-bytes.ts';
import { crc64Over } from './crc64.ts';
import { type PackCounts, type PackSettings, TreePacker } from './pack-tree.ts';
import { TarSplitWriter, type TextSink } from './tar-split-format.ts';
import { sharedMemory } from './wasm.ts';

const PAGE = 65536;
/** Each costs two wake-ups of a thread. */
const BLOCK_BYTES = 64 * PAGE;
/** As much of a file is read at a time, so that its checksum finds it in the processor's cache. */
const ROOM_BYTES = 4 * PAGE;

/** What packing a tree found. */
export interface PackedTree extends Omit<PackCounts, 'uids' | 'gids'> {
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** sha256 in hex. */
  readonly diffId: string;
  readonly sizeBytes: number;
}

/** Where the parts of a packed tree go. */
export interface PackStreams {
  readonly onText: TextSink;
  /** Takes the archive, with backpressure, in memory that it may keep. */
  readonly output?: ((bytes: Buffer) => Promise<void>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Packs a tree: this thread reads the files and sums them up, while the pool hashes the block that was filled before. A
 * worker thread would take 50 ms to start.
 */
export async function packTree(
  root: string,
  settings: PackSettings,
  { onText, output, signal }: PackStreams,
): Promise<PackedTree> {
  const place = idle.pop() ?? makePlace();
  const blocks = new HashedBlocks(place.bytes, output);
  const sum = (bytes: Buffer, previous: bigint) => place.crc(bytes.byteOffset, bytes.length, previous);
  const steps = packInSteps(root, settings, { output: blocks, crc: sum, onText });
  try {
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done) {
        const { uids, gids, ...counts } = step.value;
        return { ...counts, uids: [...uids], gids: [...gids], ...(await blocks.digest()) };
      }
      if (!blocks.isFull) continue;
      signal?.throwIfAborted();
      await blocks.turn();
    }
  } finally {
    // In the middle it has files open.
    steps.return(undefined as never);
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

/** Writes the archive to blocks and its tar-split to `onText`, in the steps of {@link TreePacker.pack}. */
function* packInSteps(
  root: string,
  settings: PackSettings,
  to: {
    readonly output: HashedBlocks;
    readonly crc: (bytes: Buffer, previous: bigint) => bigint;
    readonly onText: TextSink;
  },
): Generator<void, PackCounts> {
  const { output, crc, onText } = to;
  const split = new TarSplitWriter(onText);
  let sum = 0n;
  const packer = new TreePacker(settings, {
    raw: (bytes) => {
      output.write(bytes);
      split.raw(bytes);
    },
    room: (limit) => output.room(limit),
    filled: (room, length) => {
      sum = crc(room.subarray(0, length), sum);
      output.commit(length);
    },
    entryEnd: (name, sizeBytes) => {
      split.entry(name, sizeBytes, sum);
      sum = 0n;
    },
  });
  const counts = yield* packer.pack(root);
  split.end();
  return counts;
}

/** Two blocks of memory: one is filled, while the other is hashed and handed on. */
export class HashedBlocks {
  readonly #hash = startSha256();
  readonly #blocks: readonly [Buffer, Buffer];
  #block: Buffer;
  #filled = 0;
  /** What did not fit any more: headers with many attributes. */
  #spilled: Buffer[] = [];
  #passing: Promise<void> = Promise.resolve();
  #sizeBytes = 0;
  readonly #output: PackStreams['output'];

  constructor(memory: Buffer, output?: PackStreams['output']) {
    this.#output = output;
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

  /** Has the filled block hashed and handed on, and gives the other one, once that is done with. */
  async turn(): Promise<void> {
    await this.#passing;
    const full = [this.#block.subarray(0, this.#filled), ...this.#spilled];
    this.#passing = this.#pass(full);
    this.#passing.catch(() => {});
    this.#block = this.#blocks[this.#block === this.#blocks[0] ? 1 : 0];
    this.#filled = 0;
    this.#spilled = [];
  }

  async digest(): Promise<{ readonly diffId: string; readonly sizeBytes: number }> {
    await this.turn();
    await this.#passing;
    return { diffId: this.#hash.digest().toString('hex'), sizeBytes: this.#sizeBytes };
  }

  /** When the pool has let the memory go. */
  async settled(): Promise<void> {
    await this.#passing.catch(() => {});
  }

  async #pass(pieces: readonly Buffer[]): Promise<void> {
    for (const bytes of pieces) {
      const written = bytes.length > 0 ? this.#output?.(singleUse(Buffer.from(bytes))) : undefined;
      await Promise.all([this.#hash.updateOnPool(bytes), written]);
      this.#sizeBytes += bytes.length;
    }
  }
}
