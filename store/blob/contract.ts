import type { Readable } from 'node:stream';
import type { Digest } from '../../image/digest.ts';

/** Bytes on their way. `sizeBytes` is undefined where the sender does not know it. Destroy `stream` when it is not read to its end. */
export interface BlobStream {
  readonly stream: Readable;
  readonly sizeBytes?: number;
}

/** A finished blob: what it is called and how long it is. */
export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
}
