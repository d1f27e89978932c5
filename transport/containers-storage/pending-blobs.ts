import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { algorithmOf, type Digest, finishDigest, startDigest } from '../../image/digest.ts';
import { TransportError } from '../error.ts';

/** Blobs that wait in files until the image is committed. */
export class PendingBlobs implements AsyncDisposable {
  readonly #parent: string;
  #directory: Promise<string> | undefined;
  readonly #files = new Map<Digest, string>();
  #count = 0;

  constructor(parent: string) {
    this.#parent = parent;
  }

  fileOf(digest: Digest): string | undefined {
    return this.#files.get(digest);
  }

  async put(
    stream: Readable,
    expected: { readonly digest?: Digest },
    signal?: AbortSignal,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    this.#directory ??= mkdtemp(join(this.#parent, 'storage-'));
    const path = join(await this.#directory, String(this.#count++));
    const algorithm = expected.digest === undefined ? 'sha256' : algorithmOf(expected.digest);
    const hash = startDigest(algorithm);
    let size = 0;
    await pipeline(
      stream,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          hash.update(chunk);
          size += chunk.length;
          yield chunk;
        }
      },
      createWriteStream(path, { flags: 'wx', mode: 0o600 }),
      { signal },
    );
    const digest = finishDigest(hash, algorithm);
    if (expected.digest !== undefined && expected.digest !== digest)
      throw new TransportError(
        'digest-mismatch',
        `blob has digest ${digest}, not ${expected.digest} as expected`,
      );
    this.#files.set(digest, path);
    return { digest, size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#directory !== undefined) await rm(await this.#directory, { recursive: true, force: true });
  }
}
