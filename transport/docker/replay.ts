/**
 * Remembers the last bytes of a stream, so that an upload which lost its connection can send again what the server did
 * not keep. Holds references to chunks, at most `limitBytes` and one chunk.
 */
export class ReplayWindow {
  readonly #limitBytes: number;
  readonly #chunks: Buffer[] = [];
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
    this.#chunks.push(chunk);
    this.#end += chunk.length;
    while (
      this.#chunks.length > 1 &&
      this.#end - this.#start - (this.#chunks[0] as Buffer).length >= this.#limitBytes
    )
      this.#start += (this.#chunks.shift() as Buffer).length;
  }

  /** The chunks from an offset to the end; undefined where the window no longer reaches back so far. */
  from(offset: number): Buffer[] | undefined {
    if (offset < this.#start || offset > this.#end) return undefined;
    const found: Buffer[] = [];
    let at = this.#start;
    for (const chunk of this.#chunks) {
      if (at + chunk.length > offset) found.push(chunk.subarray(Math.max(0, offset - at)));
      at += chunk.length;
    }
    return found;
  }
}
