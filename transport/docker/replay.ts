const FIRST_BYTES = 1 << 18;

/**
 * Remembers the last bytes of a stream, so that an upload which lost its connection can send again what the server did
 * not keep. Copies them into memory of its own, at most `limitBytes`: chunks that were kept here would grow so old that
 * V8 frees them late.
 */
export class ReplayWindow {
  readonly #limitBytes: number;
  /** The byte at offset `n` of the stream lies at `n` modulo the length. */
  #memory: Buffer = Buffer.alloc(0);
  #start: number;
  #end: number;

  constructor(startOffset: number, limitBytes: number) {
    this.#start = startOffset;
    this.#end = startOffset;
    this.#limitBytes = limitBytes;
  }

  /** Offset behind the last byte. */
  get end(): number {
    return this.#end;
  }

  push(chunk: Buffer): void {
    this.#reserve(Math.min(this.#limitBytes, this.#end - this.#start + chunk.length));
    const end = this.#end + chunk.length;
    const kept = chunk.subarray(Math.max(0, chunk.length - this.#memory.length));
    this.#put(kept, end - kept.length);
    this.#end = end;
    this.#start = Math.max(this.#start, end - this.#memory.length);
  }

  /** Copies of the bytes from an offset to the end; undefined where the window no longer reaches back so far. */
  from(offset: number): Buffer[] | undefined {
    if (offset < this.#start || offset > this.#end) return undefined;
    const found: Buffer[] = [];
    for (let at = offset; at < this.#end; at += (found.at(-1) as Buffer).length) {
      const begin = at % this.#memory.length;
      found.push(Buffer.from(this.#memory.subarray(begin, begin + this.#end - at)));
    }
    return found;
  }

  #put(bytes: Buffer, offset: number): void {
    for (let done = 0; done < bytes.length; )
      done += bytes.copy(this.#memory, (offset + done) % this.#memory.length, done);
  }

  /** Small blobs, which most are, get by with little memory. */
  #reserve(bytes: number): void {
    if (bytes <= this.#memory.length) return;
    const before = this.from(this.#start) ?? [];
    this.#memory = Buffer.allocUnsafeSlow(
      Math.min(this.#limitBytes, Math.max(FIRST_BYTES, this.#memory.length * 2, bytes)),
    );
    let at = this.#start;
    for (const part of before) {
      this.#put(part, at);
      at += part.length;
    }
  }
}
