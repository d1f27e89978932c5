/**
 * Where containers/storage cuts the contents of files for zstd:chunked: at the borders of a rolling checksum over
 * 64 bytes (that of bup: on average every 64 KiB) and around runs of at least 1 KiB of zeros. The same content gives
 * the same chunks, whoever packs it.
 */

const WINDOW = 64;
const OFFSET = 31;
const SPLIT_MASK = 0xffff;
const HOLE_BYTES = 1024;

/** Receives a file's content piece by piece; pieces between two borders are one chunk. */
export interface ChunkSink {
  data(bytes: Uint8Array): void;
  /** A run of zeros, which is a chunk of its own. */
  hole(sizeBytes: number): void;
  /** The chunk that was going on ends. Also called where none was. */
  border(): void;
}

/** Cuts the content of one file. */
export class ContentChunker {
  readonly #sink: ChunkSink;
  readonly #window = new Uint8Array(WINDOW);
  #at = 0;
  #sum1 = WINDOW * OFFSET;
  #sum2 = WINDOW * (WINDOW - 1) * OFFSET;
  /** Zeros that were seen and not handed on: whether they are a hole is known at their end. */
  #zeros = 0;

  constructor(sink: ChunkSink) {
    this.#sink = sink;
  }

  write(bytes: Uint8Array): void {
    let start = 0;
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at]!;
      if (byte === 0) {
        if (this.#zeros === 0 && at > start) this.#sink.data(bytes.subarray(start, at));
        this.#zeros += 1;
        start = at + 1;
        continue;
      }
      if (this.#zeros > 0) this.#endZeros();
      if (!this.#roll(byte)) continue;
      this.#sink.data(bytes.subarray(start, at + 1));
      this.#sink.border();
      start = at + 1;
    }
    if (start < bytes.length) this.#sink.data(bytes.subarray(start));
  }

  end(): void {
    if (this.#zeros > 0) this.#endZeros();
    this.#sink.border();
  }

  #endZeros(): void {
    const zeros = this.#zeros;
    this.#zeros = 0;
    if (zeros >= HOLE_BYTES) {
      for (let count = 0; count < zeros; count += 1) this.#roll(0);
      this.#sink.border();
      this.#sink.hole(zeros);
      this.#sink.border();
      return;
    }
    let from = 0;
    for (let count = 1; count <= zeros; count += 1) {
      if (!this.#roll(0)) continue;
      this.#sink.data(new Uint8Array(count - from));
      this.#sink.border();
      from = count;
    }
    if (from < zeros) this.#sink.data(new Uint8Array(zeros - from));
  }

  /** True where the checksum says that a chunk ends with this byte. */
  #roll(byte: number): boolean {
    const dropped = this.#window[this.#at]!;
    this.#window[this.#at] = byte;
    this.#at = (this.#at + 1) % WINDOW;
    this.#sum1 = (this.#sum1 + byte - dropped) | 0;
    this.#sum2 = (this.#sum2 + this.#sum1 - WINDOW * (dropped + OFFSET)) | 0;
    return (this.#sum2 & SPLIT_MASK) === SPLIT_MASK;
  }
}
