import { createReadStream } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { isSystemError } from '../../errors.ts';
import { algorithmOf, type Digest, encodedOf, tryParseDigest } from '../../image/digest.ts';
import { StoreError } from '../error.ts';
import type { BlobInfo, BlobStream } from './contract.ts';
import { publishFile, TEMPORARY_PREFIX } from './publish.ts';
import { verified } from './verify.ts';

/** Part of a blob: `start` to `end`, both counted from 0 and included; without `end` to the last byte. */
export interface ByteRange {
  readonly start: number;
  readonly end?: number;
}

/**
 * Blobs by digest in `<root>/<algorithm>/<encoded>`, the layout of an OCI image layout's `blobs` directory
 * (image-spec v1.1). A blob is visible when it is whole and checked. Several processes may put the same blob at the
 * same time: the last rename wins, and all of them wrote the same bytes.
 */
export class BlobDirectory {
  readonly root: string;
  readonly #sync: boolean;

  /** @param options.sync fsync every blob before it becomes visible. Default true. */
  constructor(root: string, options: { readonly sync?: boolean } = {}) {
    this.root = root;
    this.#sync = options.sync ?? true;
  }

  /** Where the blob is or would be. @throws ImageError `unsupported-digest` */
  pathOf(digest: Digest): string {
    return join(this.root, algorithmOf(digest), encodedOf(digest));
  }

  /** Size of the blob, or undefined where there is none. */
  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    try {
      const status = await stat(this.pathOf(digest));
      return status.isFile() ? { digest, sizeBytes: status.size } : undefined;
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  }

  async has(digest: Digest): Promise<boolean> {
    return (await this.stat(digest)) !== undefined;
  }

  /**
   * The blob's bytes, or a range of them, as they lie on disk: the reader checks the digest ({@link verified}).
   * `sizeBytes` is that of the range. A range that starts beyond the end is empty.
   * @throws StoreError `not-found`
   */
  async open(digest: Digest, range?: ByteRange): Promise<BlobStream & { readonly sizeBytes: number }> {
    const info = await this.stat(digest);
    if (!info)
      throw new StoreError('not-found', `blob ${digest} is not in ${this.root}`, { facts: { digest } });
    const start = Math.max(0, range?.start ?? 0);
    const end = Math.min(range?.end ?? info.sizeBytes - 1, info.sizeBytes - 1);
    const sizeBytes = Math.max(0, end - start + 1);
    const path = this.pathOf(digest);
    const stream =
      sizeBytes === 0 ? Readable.from([]) : createReadStream(path, { start, end, highWaterMark: 1 << 18 });
    return { stream, sizeBytes };
  }

  /**
   * Stores a blob whose digest is known. One that is already there is not written again, and `source` is destroyed
   * unread.
   * @throws StoreError `digest-mismatch`, `truncated`, `too-large`, `system`
   */
  async put(
    source: Readable | Uint8Array,
    expected: { readonly digest: Digest; readonly sizeBytes?: number },
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<BlobInfo> {
    const present = await this.stat(expected.digest);
    const isWanted =
      present && (expected.sizeBytes === undefined || present.sizeBytes === expected.sizeBytes);
    if (present && isWanted) {
      if (source instanceof Readable) source.destroy();
      return present;
    }
    const path = this.pathOf(expected.digest);
    await mkdir(join(this.root, algorithmOf(expected.digest)), { recursive: true });
    const stream = source instanceof Readable ? source : Readable.from([source]);
    const meter = verified(stream, expected);
    await publishFile(path, meter, { sync: this.#sync, signal: options.signal });
    return meter.info;
  }

  /** True where there was a blob. */
  async delete(digest: Digest): Promise<boolean> {
    const present = await this.has(digest);
    await rm(this.pathOf(digest), { force: true });
    return present;
  }

  /** Every blob, in no particular order; files that are no blobs are passed over. */
  async *list(): AsyncGenerator<Digest> {
    for (const algorithm of await listing(this.root)) {
      for (const name of await listing(join(this.root, algorithm))) {
        const digest = tryParseDigest(`${algorithm}:${name}`);
        if (digest) yield digest;
      }
    }
  }

  /** Removes what killed processes left: temporary files older than `olderThanMs` (age by modification time). */
  async sweep(olderThanMs: number, nowMs: number): Promise<void> {
    for (const algorithm of await listing(this.root)) {
      for (const name of await listing(join(this.root, algorithm))) {
        if (!name.startsWith(TEMPORARY_PREFIX)) continue;
        const path = join(this.root, algorithm, name);
        const status = await stat(path).catch(() => undefined);
        if (status && nowMs - status.mtimeMs > olderThanMs) await rm(path, { force: true });
      }
    }
  }
}

async function listing(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
