import { PassThrough, Transform, type TransformCallback } from 'node:stream';
import { type Digest, finishDigest, startDigest } from '../image/digest.ts';
import { decompressed, type KnownCompression } from '../store/blob/compression.ts';
import { dispose } from '../store/kernel/passing-bytes.ts';

/** Passes a layer through unchanged while it computes the digest of its plain content. */
export class DiffIdTap extends Transform {
  readonly #input: PassThrough | undefined;
  readonly #hash = startDigest();
  /** Resolves when the layer has passed. */
  readonly diffId: Promise<Digest>;

  constructor(compression: KnownCompression) {
    super();
    if (compression === 'none') {
      this.diffId = new Promise((resolve) => this.once('end', () => resolve(finishDigest(this.#hash))));
      return;
    }
    this.#input = new PassThrough({ highWaterMark: 1 << 18 });
    const plain = decompressed(this.#input, compression);
    this.diffId = new Promise((resolve, reject) => {
      plain.on('data', (chunk: Buffer) => {
        this.#hash.update(chunk);
        dispose(chunk);
      });
      plain.once('end', () => resolve(finishDigest(this.#hash)));
      plain.once('error', reject);
      this.once('error', reject);
    });
    this.diffId.catch(() => {});
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (!this.#input) {
      this.#hash.update(chunk);
      done(null, chunk);
    } else if (this.#input.write(chunk)) done(null, chunk);
    else this.#input.once('drain', () => done(null, chunk));
  }

  override _flush(done: TransformCallback): void {
    if (!this.#input) {
      done();
      return;
    }
    this.#input.end();
    this.diffId.then(
      () => done(),
      (error: Error) => done(error),
    );
  }
}
