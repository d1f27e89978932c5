import { Transform, type TransformCallback } from 'node:stream';
import { StoreError } from '../error.ts';

const FRAME_MAGIC = 0xfd2fb528;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];

/**
 * Cuts a zstd stream at its frame borders (RFC 8878) and leaves skippable frames out: the decoder of node:zlib takes
 * what follows a frame inside one chunk for the end of the stream and would silently drop it. zstd:chunked layers
 * have a frame for every file, and skippable frames at their end.
 */
export class ZstdFrames extends Transform {
  /** Bytes of a header that is not complete yet. */
  #held: Buffer = Buffer.alloc(0);
  /** Bytes that pass by before the next header, and whether they are dropped. */
  #left = 0;
  #dropping = false;
  /** What follows the bytes of `left`: a frame, a block header, or the end of a frame after the last block. */
  #next: 'frame' | 'block' = 'frame';
  #hasChecksum = false;
  #isLastBlock = false;
  #sawFrame = false;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      this.#take(this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk);
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    const isPadding = this.#held.every((byte) => byte === 0) && this.#sawFrame;
    if (this.#left > 0 || this.#next !== 'frame' || (this.#held.length > 0 && !isPadding))
      done(new StoreError('truncated', 'cannot decompress zstd data: it ends too early'));
    else done();
  }

  /** Passes on what belongs together in one piece, from `start` to the border. */
  #take(bytes: Buffer): void {
    let start = 0;
    let at = 0;
    const pass = () => {
      if (at > start) this.push(bytes.subarray(start, at));
      start = at;
    };
    this.#held = Buffer.alloc(0);
    for (;;) {
      const step = Math.min(this.#left, bytes.length - at);
      at += step;
      this.#left -= step;
      if (this.#dropping) start = at;
      if (this.#left > 0) break;
      if (this.#isLastBlock) {
        this.#isLastBlock = false;
        this.#next = 'frame';
        pass();
      }
      this.#dropping = false;
      const length = this.#next === 'frame' ? this.#frame(bytes, at) : this.#block(bytes, at);
      if (length === 0) break;
      if (this.#dropping) pass();
      this.#left = length;
    }
    pass();
    if (this.#left === 0) {
      // An incomplete header waits for its rest.
      this.#held = Buffer.from(bytes.subarray(at));
    }
  }

  /** Length of the frame header at `at` (of a whole skippable frame); 0 where more bytes are needed. */
  #frame(bytes: Buffer, at: number): number {
    if (bytes.length - at < 8) return 0;
    const magic = bytes.readUInt32LE(at);
    if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) {
      this.#dropping = true;
      this.#sawFrame = true;
      return 8 + bytes.readUInt32LE(at + 4);
    }
    if (magic === 0 && this.#sawFrame) return this.#padding(bytes, at);
    if (magic !== FRAME_MAGIC) throw bad('no frame where one should start');
    const descriptor = bytes[at + 4]!;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    this.#hasChecksum = (descriptor & 4) !== 0;
    this.#next = 'block';
    this.#sawFrame = true;
    const sizeBytes = CONTENT_SIZE_BYTES[descriptor >> 6]! || (isSingleSegment ? 1 : 0);
    return 5 + (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 3]! + sizeBytes;
  }

  #padding(bytes: Buffer, at: number): number {
    for (let index = at; index < bytes.length; index += 1)
      if (bytes[index] !== 0) throw bad('data after its end');
    this.#dropping = true;
    return bytes.length - at;
  }

  #block(bytes: Buffer, at: number): number {
    if (bytes.length - at < 3) return 0;
    const header = bytes.readUIntLE(at, 3);
    const type = (header >> 1) & 3;
    if (type === 3) throw bad('a block of a reserved type');
    this.#isLastBlock = (header & 1) === 1;
    const size = type === 1 ? 1 : header >> 3;
    return 3 + size + (this.#isLastBlock && this.#hasChecksum ? 4 : 0);
  }
}

function bad(why: string): StoreError {
  return new StoreError('bad-compression', `cannot decompress zstd data: ${why}`);
}
