import { singleUse } from '../kernel/passing-bytes.ts';
import type { SharedMemory } from './wasm.ts';

/**
 * A bounded pipe of bytes between an event loop and a worker that reads or writes synchronously. Both sides touch the
 * same shared memory: bytes are copied once where they enter or leave, and a full or empty ring makes the other side
 * wait, so that memory stays constant whatever the length of the stream.
 */

const PAGE = 65536;
const CAPACITY = 32 * PAGE;
/** How many bytes a worker uses up or produces before it tells the other side. */
const BATCH = CAPACITY / 4;

/** Pages of WebAssembly memory that {@link ringsOf} needs: a control page, the input ring, the output ring, scratch. */
export const RING_PAGES = 1 + 2 * (CAPACITY / PAGE) + 1;

const [HEAD, TAIL, STATE, SIGNAL] = [0, 1, 2, 3];
const OPEN = 0;
const ENDED = 1;
const FAILED = 2;

/** One ring's place in shared memory. */
export interface Ring {
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly bytes: Buffer;
}

/** Lays the two rings of a job out in a memory of {@link RING_PAGES} pages. */
export function ringsOf(memory: SharedMemory): { readonly input: Ring; readonly output: Ring } {
  const shared = memory.buffer;
  const ring = (index: number): Ring => {
    const offset = PAGE + index * CAPACITY;
    return {
      control: new Int32Array(shared, index * 64, 4),
      bytes: Buffer.from(shared as unknown as ArrayBuffer, offset, CAPACITY),
    };
  };
  return { input: ring(0), output: ring(1) };
}

export function resetRing(ring: Ring): void {
  for (let index = 0; index < 4; index += 1) Atomics.store(ring.control, index, 0);
}

function announce(ring: Ring): void {
  Atomics.add(ring.control, SIGNAL, 1);
  Atomics.notify(ring.control, SIGNAL);
}

function finish(ring: Ring, state: number): void {
  Atomics.compareExchange(ring.control, STATE, OPEN, state);
  announce(ring);
}

/** The stream is complete. */
export function endRing(ring: Ring): void {
  finish(ring, ENDED);
}

/** Nothing more comes and nothing more is wanted: the other side throws {@link RingClosed}. */
export function failRing(ring: Ring): void {
  finish(ring, FAILED);
}

/** The other side of a ring gave up; its own error is the one that matters. */
export class RingClosed extends Error {}

const filled = (ring: Ring) => (Atomics.load(ring.control, HEAD) - Atomics.load(ring.control, TAIL)) >>> 0;
const state = (ring: Ring) => Atomics.load(ring.control, STATE);

/** The contiguous part of the ring from stream position `at`. */
function span(ring: Ring, at: number, length: number): Buffer {
  const start = (at >>> 0) % CAPACITY;
  return ring.bytes.subarray(start, Math.min(start + length, CAPACITY));
}

async function changed(ring: Ring, seen: number): Promise<void> {
  const waiting = Atomics.waitAsync(ring.control, SIGNAL, seen);
  if (waiting.async) await waiting.value;
}

/** Event loop side: copies a chunk into the ring, waiting for room. */
export async function writeToRing(ring: Ring, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const seen = Atomics.load(ring.control, SIGNAL);
    if (state(ring) !== OPEN) throw new RingClosed('the reader of the ring gave up');
    const room = CAPACITY - filled(ring);
    if (room === 0) {
      await changed(ring, seen);
      continue;
    }
    const target = span(ring, Atomics.load(ring.control, HEAD), Math.min(room, chunk.length - at));
    target.set(chunk.subarray(at, at + target.length));
    at += target.length;
    Atomics.add(ring.control, HEAD, target.length);
    announce(ring);
  }
}

/** Event loop side: the next bytes as a copy of their own; undefined at the end. */
export async function readFromRing(ring: Ring, limitBytes = BATCH): Promise<Buffer | undefined> {
  for (;;) {
    const seen = Atomics.load(ring.control, SIGNAL);
    const ended = state(ring);
    const available = filled(ring);
    if (ended === FAILED) throw new RingClosed('the writer of the ring gave up');
    if (available > 0) {
      const view = span(ring, Atomics.load(ring.control, TAIL), Math.min(available, limitBytes));
      const bytes = singleUse(Buffer.from(view));
      Atomics.add(ring.control, TAIL, view.length);
      announce(ring);
      return bytes;
    }
    if (ended === ENDED) return undefined;
    await changed(ring, seen);
  }
}

function block(ring: Ring, seen: number): void {
  Atomics.wait(ring.control, SIGNAL, seen);
}

/** Worker side of an input ring: views of the bytes as they arrive, without copies. */
export class RingReader {
  readonly #ring: Ring;
  readonly #onArrival: (bytes: Buffer) => void;
  #head = 0;
  #at = 0;
  #released = 0;

  /** @param onArrival called once for every byte of the stream, in order, in large pieces: for hashing */
  constructor(ring: Ring, onArrival: (bytes: Buffer) => void = () => {}) {
    this.#ring = ring;
    this.#onArrival = onArrival;
  }

  /** 1 to `limit` bytes that follow, valid until the next call; an empty view at the end of the stream. */
  next(limit: number): Buffer {
    if (this.#at === this.#head) this.#refill();
    const view = span(this.#ring, this.#at, Math.min(limit, (this.#head - this.#at) >>> 0));
    this.#at = (this.#at + view.length) | 0;
    return view;
  }

  #release(): void {
    if (this.#at === this.#released) return;
    Atomics.store(this.#ring.control, TAIL, this.#at);
    this.#released = this.#at;
    announce(this.#ring);
  }

  #refill(): void {
    for (;;) {
      const seen = Atomics.load(this.#ring.control, SIGNAL);
      const ended = state(this.#ring);
      const head = Atomics.load(this.#ring.control, HEAD);
      if (ended === FAILED) throw new RingClosed('the writer of the ring gave up');
      const hasMore = head !== this.#at;
      if (hasMore) this.#arrive(head);
      if (hasMore || ended === ENDED) return;
      if (this.#at !== this.#released) this.#release();
      else block(this.#ring, seen);
    }
  }

  /** Takes what arrived, at most one batch, so that room is given back while the rest is still being read. */
  #arrive(head: number): void {
    this.#release();
    const length = Math.min((head - this.#at) >>> 0, BATCH);
    const view = span(this.#ring, this.#at, length);
    this.#head = (this.#at + view.length) | 0;
    this.#onArrival(view);
  }
}

/** Worker side of an output ring. */
export class RingWriter {
  readonly #ring: Ring;
  #head = 0;
  #published = 0;

  constructor(ring: Ring) {
    this.#ring = ring;
  }

  /** Room for 1 to `limit` bytes, which {@link #commit} makes a part of the stream. */
  #room(limit: number): Buffer {
    for (;;) {
      const seen = Atomics.load(this.#ring.control, SIGNAL);
      if (state(this.#ring) !== OPEN) throw new RingClosed('the reader of the ring gave up');
      const used = (this.#head - Atomics.load(this.#ring.control, TAIL)) >>> 0;
      if (used < CAPACITY) return span(this.#ring, this.#head, Math.min(limit, CAPACITY - used, BATCH));
      if (this.#published !== this.#head) this.flush();
      else block(this.#ring, seen);
    }
  }

  #commit(length: number): void {
    this.#head = (this.#head + length) | 0;
    if ((this.#head - this.#published) >>> 0 >= BATCH) this.flush();
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const room = this.#room(bytes.length - at);
      room.set(at === 0 && room.length === bytes.length ? bytes : bytes.subarray(at, at + room.length));
      this.#commit(room.length);
      at += room.length;
    }
  }

  /** Hands everything committed to the other side. */
  flush(): void {
    this.#published = this.#head;
    Atomics.store(this.#ring.control, HEAD, this.#published);
    announce(this.#ring);
  }

  end(): void {
    this.flush();
    endRing(this.#ring);
  }
}
