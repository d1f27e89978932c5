import { Transform, type TransformCallback } from 'node:stream';
import { createZstdDecompress, type ZstdDecompress } from 'node:zlib';
import { ZstdFrames } from './zstd-frames.ts';

/**
 * Decompresses a zstd stream of any number of frames, zstd:chunked ones too. Unlike the decoder of node:zlib alone it
 * neither drops what follows the first frame nor accepts garbage there.
 * @throws (as the stream's error) StoreError `truncated`, `bad-compression`; errors of node:zlib
 */
export class ZstdDecompressor extends Transform {
  readonly #frames = new ZstdFrames();
  readonly #decoder: ZstdDecompress;

  constructor() {
    super({ readableHighWaterMark: 1 << 18, writableHighWaterMark: 1 << 18 });
    this.#decoder = createZstdDecompress({ chunkSize: 1 << 17 });
    this.#frames.on('error', (error) => this.destroy(error));
    this.#decoder.on('error', (error) => this.destroy(error));
    this.#decoder.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) this.#decoder.pause();
    });
    this.#frames.pipe(this.#decoder);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#frames.write(chunk, (error) => done(error));
  }

  override _flush(done: TransformCallback): void {
    this.#decoder.once('end', () => done());
    this.#frames.end();
  }

  override _read(size: number): void {
    this.#decoder.resume();
    super._read(size);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#frames.destroy();
    this.#decoder.destroy();
    done(error);
  }
}
