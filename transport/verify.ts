import type { Hash } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';
import {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  finishDigest,
  startDigest,
} from '../image/digest.ts';
import { PassingBytes } from '../store/kernel/passing-bytes.ts';
import { TransportError } from './error.ts';

/** What a blob must be; what is undefined (or a size of -1) is computed instead of checked. */
export interface Expected {
  readonly digest?: Digest;
  /** Bytes. */
  readonly size?: number;
}

/**
 * Passes bytes through and fails before its end when they are not what was expected: the digest of all bytes, and the
 * size, where reading stops one chunk past it. A reader that saw the end saw the whole, right blob.
 */
export class VerifyingStream extends Transform {
  readonly #expected: Expected;
  readonly #what: string;
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: Hash;
  readonly #passing = new PassingBytes();
  readonly #onBytes: ((total: number) => void) | undefined;
  #size = 0;
  #head: Buffer = Buffer.alloc(0);
  #digest: Digest | undefined;

  /**
   * @param what names the blob in errors, such as `blob sha256:… of docker://host/name`
   * @param onBytes called with the number of bytes seen so far
   */
  constructor(expected: Expected, what: string, onBytes?: (total: number) => void) {
    super({ highWaterMark: 1 << 18 });
    this.#expected = expected;
    this.#what = what;
    this.#onBytes = onBytes;
    this.#algorithm = expected.digest === undefined ? 'sha256' : algorithmOf(expected.digest);
    this.#hash = startDigest(this.#algorithm);
  }

  /** Bytes seen so far. */
  get size(): number {
    return this.#size;
  }

  /** The first bytes, as many as magic numbers need. */
  get head(): Buffer {
    return this.#head;
  }

  /** The digest of all bytes. @throws a plain Error before the end */
  get digest(): Digest {
    if (this.#digest === undefined) throw new Error('the digest is known at the end of the stream');
    return this.#digest;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#size += chunk.length;
    const { size } = this.#expected;
    if (size !== undefined && size >= 0 && this.#size > size) {
      done(sizeMismatch(this.#what, size, `more than ${size}`));
      return;
    }
    if (this.#head.length < 16) this.#head = Buffer.concat([this.#head, chunk.subarray(0, 16)]);
    this.#hash.update(chunk);
    this.#onBytes?.(this.#size);
    this.#passing.passed(chunk.length);
    done(null, chunk);
  }

  override _flush(done: TransformCallback): void {
    this.#digest = finishDigest(this.#hash, this.#algorithm);
    const { size, digest } = this.#expected;
    if (size !== undefined && size >= 0 && this.#size !== size)
      done(sizeMismatch(this.#what, size, String(this.#size)));
    else if (digest !== undefined && this.#digest !== digest)
      done(
        new TransportError('digest-mismatch', `${this.#what} does not match: got digest ${this.#digest}`, {
          hint: 'the content is damaged or was replaced; nothing of it was kept',
          facts: { expected: digest, digest: this.#digest },
        }),
      );
    else done();
  }
}

function sizeMismatch(what: string, expected: number, got: string): TransportError {
  return new TransportError('size-mismatch', `${what} should have ${expected} bytes, got ${got}`, {
    facts: { expected, got },
  });
}
