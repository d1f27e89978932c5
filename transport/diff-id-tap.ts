import { Transform, type TransformCallback } from 'node:stream';
import { type Digest, finishDigest, startDigest } from '../image/digest.ts';
import { type DetectedCompression, decompressor } from './compress.ts';

/** Passes a layer through unchanged while it computes the digest of its plain content. */
export class DiffIdTap extends Transform {
  readonly #plain: NodeJS.ReadWriteStream | undefined;
  readonly #hash = startDigest();
  /** Resolves when the layer has passed. */
  readonly diffId: Promise<Digest>;

  constructor(compression: DetectedCompression) {
    super();
    if (compression === 'none') {
      this.diffId = new Promise((resolve) => this.once('end', () => resolve(finishDigest(this.#hash))));
      return;
    }
    const plain = decompressor(compression);
    this.#plain = plain;
    this.diffId = new Promise((resolve, reject) => {
      plain.on('data', (chunk: Buffer) => this.#hash.update(chunk));
      plain.once('end', () => resolve(finishDigest(this.#hash)));
      plain.once('error', reject);
      this.once('error', reject);
    });
    this.diffId.catch(() => {});
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (!this.#plain) {
      this.#hash.update(chunk);
      done(null, chunk);
    } else if (this.#plain.write(chunk)) done(null, chunk);
    else this.#plain.once('drain', () => done(null, chunk));
  }

  override _flush(done: TransformCallback): void {
    if (!this.#plain) {
      done();
      return;
    }
    this.#plain.end();
    this.diffId.then(
      () => done(),
      (error: Error) => done(error),
    );
  }
}
