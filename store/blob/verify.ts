import type { Hash } from 'node:crypto';
import { type Readable, Transform, type TransformCallback } from 'node:stream';
import {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  finishDigest,
  startDigest,
} from '../../image/digest.ts';
import { StoreError } from '../error.ts';
import { passed } from '../kernel/passing-bytes.ts';
import type { BlobInfo } from './contract.ts';
import { joined } from './limit.ts';

const HEAD_BYTES = 16;

/** What a blob must turn out to be. */
export interface ExpectedBlob {
  readonly digest?: Digest;
  readonly sizeBytes?: number;
  /** Names the blob in messages; default: its digest. */
  readonly what?: string;
}

/** What a descriptor says of its blob, as far as it is known; so is no size of -1. */
export interface BlobClaim {
  readonly digest?: Digest;
  readonly size?: number;
}

/** @param what names the blob in messages; default: its digest */
export function expectedOf({ digest, size }: BlobClaim, what?: string): ExpectedBlob {
  return {
    ...(digest === undefined ? {} : { digest }),
    ...(size === undefined || size < 0 ? {} : { sizeBytes: size }),
    ...(what === undefined ? {} : { what }),
  };
}

/**
 * Hands bytes on and counts and hashes them. At the end, or as soon as there are too many, it fails where they are
 * not what was expected: nothing may be published before the stream has ended.
 * @throws (as the stream's error) StoreError `digest-mismatch`, `truncated`, `too-large`
 */
export class BlobMeter extends Transform {
  readonly #expected: ExpectedBlob;
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: Hash;
  readonly #onBytes: ((sizeBytes: number) => void) | undefined;
  #sizeBytes = 0;
  #head: Buffer = Buffer.alloc(0);
  #info: BlobInfo | undefined;

  /** @param onBytes called with the number of bytes seen so far */
  constructor(expected: ExpectedBlob = {}, onBytes?: (sizeBytes: number) => void) {
    super({ highWaterMark: 1 << 18 });
    this.#expected = expected;
    this.#onBytes = onBytes;
    this.#algorithm = expected.digest ? algorithmOf(expected.digest) : 'sha256';
    this.#hash = startDigest(this.#algorithm);
  }

  /** Bytes so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The first bytes, as many as magic numbers need. */
  get head(): Buffer {
    return this.#head;
  }

  /** What the bytes were. @throws Error before the stream has ended */
  get info(): BlobInfo {
    if (!this.#info) throw new Error('the stream has not ended yet');
    return this.#info;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#sizeBytes += chunk.length;
    const expected = this.#expected.sizeBytes;
    if (expected !== undefined && this.#sizeBytes > expected) {
      done(this.#error('too-large', `is larger than the ${expected} bytes it should have`));
      return;
    }
    if (this.#head.length < HEAD_BYTES)
      this.#head = Buffer.concat([this.#head, chunk.subarray(0, HEAD_BYTES)]);
    this.#hash.update(chunk);
    this.#onBytes?.(this.#sizeBytes);
    passed(chunk.length);
    done(null, chunk);
  }

  override _flush(done: TransformCallback): void {
    const { sizeBytes, digest } = this.#expected;
    this.#info = { digest: finishDigest(this.#hash, this.#algorithm), sizeBytes: this.#sizeBytes };
    if (sizeBytes !== undefined && this.#sizeBytes < sizeBytes)
      done(this.#error('truncated', `ends after ${this.#sizeBytes} of ${sizeBytes} bytes`));
    else if (digest !== undefined && this.#info.digest !== digest)
      done(
        this.#error('digest-mismatch', `has other content than its digest says: it is ${this.#info.digest}`),
      );
    else done();
  }

  #error(code: 'too-large' | 'truncated' | 'digest-mismatch', why: string): StoreError {
    const { what, digest, sizeBytes } = this.#expected;
    return new StoreError(code, `${what ?? `blob ${digest ?? ''}`.trimEnd()} ${why}`, {
      retryable: code !== 'too-large',
      ...(code === 'digest-mismatch'
        ? { hint: 'the content is damaged or was replaced; nothing of it was kept' }
        : {}),
      facts: { digest, sizeBytes, actualDigest: this.#info?.digest, actualSizeBytes: this.#sizeBytes },
    });
  }
}

/** The bytes of `source`, checked to their end; see {@link BlobMeter}. */
export function verified(
  source: Readable,
  expected: ExpectedBlob,
  onBytes?: (sizeBytes: number) => void,
): BlobMeter {
  return joined(source, new BlobMeter(expected, onBytes));
}

/** Checks bytes that are already in memory. @throws StoreError `digest-mismatch`, `truncated`, `too-large` */
export function verifyBytes(bytes: Uint8Array, expected: ExpectedBlob): BlobInfo {
  const meter = new BlobMeter(expected);
  let failure: Error | null | undefined;
  const record = (error?: Error | null) => {
    failure ??= error;
  };
  meter._transform(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 'utf8', record);
  if (!failure) meter._flush(record);
  if (failure) throw failure;
  return meter.info;
}
