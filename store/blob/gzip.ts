import { Transform, type TransformCallback } from 'node:stream';
import { promisify } from 'node:util';
import { constants, crc32, deflateRaw, type ZlibOptions } from 'node:zlib';
import { dispose, isSingleUse, singleUse } from '../kernel/passing-bytes.ts';
import { openLibdeflate } from './libdeflate.ts';

// Made where it is called: zlib takes milliseconds to load, and a build from the cache needs none.
const compress = (data: Uint8Array, options: ZlibOptions) => promisify(deflateRaw)(data, options);

/** How far back deflate can refer. */
const WINDOW_BYTES = 1 << 15;
/** Within 3 % of the size of level 6 at twice its speed, on layers of programs. */
const ZLIB_LEVEL = 4;
/** On layers of programs within 5 % of zlib's level 6, at four times its speed. */
const LIBDEFLATE_LEVEL = 1;

/** Options of {@link GzipStream}. */
export interface GzipOptions {
  /** 1 (fastest) to 9 (smallest). Default: within some percent of level 6, as fast as that goes. */
  readonly level?: number;
  /** Blocks that are compressed at the same time on libuv's thread pool. Default 4. The output does not depend on it. */
  readonly parallel?: number;
  /** Default: libdeflate where the machine has it, else Node's zlib. */
  readonly compressor?: 'libdeflate' | 'zlib';
}

/** What turns blocks into the parts of a gzip file, several at a time. */
export interface BlockCompressor {
  /** Bytes of every block but the last. */
  readonly blockBytes: number;
  readonly head?: Buffer;
  /** Takes the blocks in their order; their results may be ready in another, and until then a block must not change. */
  compress(block: Buffer): Promise<Buffer>;
  tail?(): Buffer;
  /** Gives memory back, once nothing is under way any more. */
  close(): void;
}

/**
 * Compresses to gzip (RFC 1952) in parallel: the input is cut into blocks, and what they are compressed to is written
 * in their order. The same input, level and compressor give the same bytes, whatever the number of cores and the size
 * of the chunks; headers have no time and no name.
 */
export class GzipStream extends Transform {
  readonly #blocks: BlockCompressor;
  readonly #parallel: number;
  /** A block that is not full yet. */
  #block: Buffer | undefined;
  #filled = 0;
  #started = 0;
  #pieces: Promise<Buffer>[] = [];
  #failed: Error | undefined;

  constructor(options: GzipOptions = {}) {
    // In object mode a reader gets each piece as it is: in byte mode those that have gathered would be joined.
    super({ readableObjectMode: true, readableHighWaterMark: 4, writableHighWaterMark: 1 << 18 });
    this.#parallel = options.parallel ?? 4;
    this.#blocks =
      (options.compressor === 'zlib' ? undefined : openLibdeflate(options.level ?? LIBDEFLATE_LEVEL)) ??
      new ZlibMember(options.level ?? ZLIB_LEVEL);
    if (this.#blocks.head) this.push(this.#blocks.head);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#take(chunk).then(() => done(), done);
  }

  override _flush(done: TransformCallback): void {
    if (this.#filled > 0 || this.#started === 0) this.#start(this.#takeBlock());
    this.#drain(0).then(() => done(null, this.#blocks.tail?.()), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    Promise.allSettled(this.#pieces).then(() => {
      this.#blocks.close();
      done(error);
    });
  }

  async #take(chunk: Buffer): Promise<void> {
    const { blockBytes } = this.#blocks;
    if (this.#filled === 0 && chunk.length === blockBytes && isSingleUse(chunk)) {
      this.#start(chunk);
      return this.#drain(this.#parallel - 1);
    }
    for (let at = 0; at < chunk.length; ) {
      this.#block ??= singleUse(Buffer.allocUnsafeSlow(blockBytes));
      const count = chunk.copy(this.#block, this.#filled, at);
      this.#filled += count;
      at += count;
      if (this.#filled < blockBytes) continue;
      this.#start(this.#takeBlock());
      await this.#drain(this.#parallel - 1);
      // Given up meanwhile: the compressor may be gone.
      if (this.destroyed) return;
    }
    dispose(chunk);
  }

  #takeBlock(): Buffer {
    const block = this.#block?.subarray(0, this.#filled) ?? Buffer.alloc(0);
    this.#block = undefined;
    this.#filled = 0;
    return block;
  }

  #start(block: Buffer): void {
    const piece = this.#compress(block);
    this.#started += 1;
    piece.catch((error: Error) => {
      this.#failed ??= error;
    });
    this.#pieces.push(piece);
  }

  async #compress(block: Buffer): Promise<Buffer> {
    const piece = await this.#blocks.compress(block);
    dispose(block);
    return piece;
  }

  /** Hands finished pieces on in order until at most `allowed` are under way. */
  async #drain(allowed: number): Promise<void> {
    while (this.#pieces.length > allowed) {
      this.push(await this.#pieces[0]);
      this.#pieces.shift();
    }
    if (this.#failed) throw this.#failed;
  }
}

/**
 * One gzip member by Node's zlib: each block is deflated with the end of the one before as its dictionary and flushed
 * to a byte border, so that the pieces in a row are one deflate stream.
 */
class ZlibMember implements BlockCompressor {
  readonly blockBytes = 1 << 18;
  readonly head: Buffer;
  readonly #level: number;
  #window: Buffer | undefined;
  #crc = 0;
  #sizeBytes = 0n;

  constructor(level: number) {
    this.#level = level;
    this.head = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, level >= 9 ? 2 : level <= 1 ? 4 : 0, 255]);
  }

  compress(block: Buffer): Promise<Buffer> {
    this.#crc = crc32(block, this.#crc);
    this.#sizeBytes += BigInt(block.length);
    const dictionary = this.#window;
    this.#window = Buffer.from(block.subarray(-WINDOW_BYTES));
    return compress(block, {
      level: this.#level,
      finishFlush: constants.Z_SYNC_FLUSH,
      chunkSize: this.blockBytes,
      ...(dictionary?.length && { dictionary }),
    });
  }

  tail(): Buffer {
    const end = Buffer.alloc(10);
    end[0] = 3; // a last, empty block
    end.writeUInt32LE(this.#crc, 2);
    end.writeUInt32LE(Number(this.#sizeBytes & 0xffffffffn), 6);
    return end;
  }

  close(): void {}
}
