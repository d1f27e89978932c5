import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../image/digest.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { missing, openRegular, readDocument } from '../blob-file.ts';
import { blobPathOf, LAYOUT_INDEX_LIMIT_BYTES, type LayoutFiles } from './layout.ts';

/** An OCI layout in a directory, its blobs perhaps in a directory shared with other layouts. */
export class LayoutDirectory implements LayoutFiles {
  readonly where: string;
  readonly #sharedBlobs: string | undefined;

  constructor(path: string, sharedBlobs?: string) {
    this.where = path;
    this.#sharedBlobs = sharedBlobs;
  }

  blobPath(digest: Digest): string {
    return join(this.#sharedBlobs ?? join(this.where, 'blobs'), blobPathOf(digest));
  }

  async readIndex(): Promise<Uint8Array> {
    const path = join(this.where, 'index.json');
    return readDocument(path, LAYOUT_INDEX_LIMIT_BYTES, 'index').catch(missing(path));
  }

  async readBlob(digest: Digest, limitBytes: number, what: string): Promise<Uint8Array> {
    const path = this.blobPath(digest);
    return readDocument(path, limitBytes, what).catch(missing(path));
  }

  async openBlob(digest: Digest, offset: number): Promise<BlobStream> {
    const path = this.blobPath(digest);
    const file = await openRegular(path).catch(missing(path));
    const { size } = await file.stat();
    return {
      stream: createReadStream(path, { fd: file, start: offset, highWaterMark: 1 << 20 }),
      sizeBytes: size - offset,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
