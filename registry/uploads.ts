import { type Hash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSystemError } from '../errors.ts';
import { algorithmOf, type Digest, finishDigest, startDigest } from '../image/digest.ts';
import type { ContentDirectory } from './content.ts';
import { ProtocolError } from './error.ts';

const WRITE_BYTES = 512 * 1024;
const SETTLE_MS = 500;
const SESSION_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What is known of a session without reading its file: a running sha256 of the first `bytes` bytes. */
interface Progress {
  hash: Hash | undefined;
  bytes: number;
  /** Settles when the request that writes now is done; requests on one session take turns. */
  turn: Promise<unknown>;
  /** Ends the request that writes now. */
  abort?: () => void;
}

/**
 * Upload sessions (distribution-spec 1.1, "Pushing a blob in chunks"). The bytes lie on disk, so that a session
 * outlives the process; only the running hash is lost then and is made again from the file.
 */
export class Uploads {
  readonly #content: ContentDirectory;
  readonly #progress = new Map<string, Progress>();

  constructor(content: ContentDirectory) {
    this.#content = content;
  }

  async start(repository: string): Promise<string> {
    const id = randomUUID();
    await mkdir(this.#directory(id));
    await writeFile(join(this.#directory(id), 'repository'), repository);
    await writeFile(this.#data(id), '');
    this.#progress.set(id, { hash: startDigest(), bytes: 0, turn: Promise.resolve() });
    return id;
  }

  /** @throws ProtocolError BLOB_UPLOAD_UNKNOWN for an id that this repository has no session of. */
  async size(repository: string, id: string): Promise<number> {
    const progress = await this.#find(repository, id);
    // Who asks has often just lost the connection, whose last bytes are still being written.
    await Promise.race([progress.turn, sleep(SETTLE_MS, undefined, { ref: false })]);
    return progress.bytes;
  }

  async cancel(repository: string, id: string): Promise<void> {
    await this.#find(repository, id);
    await this.#discard(id);
  }

  /**
   * Appends a request body. What arrived before a failing connection stays, as the client may go on from there.
   * @param start where the client says its bytes begin; anything but the present size is refused with 416
   */
  async append(
    repository: string,
    id: string,
    body: AsyncIterable<Buffer> & { destroy(): unknown },
    start: number | undefined,
    length?: number,
  ): Promise<number> {
    // A client that comes again has given up its earlier request, which may hang on a dead connection.
    (await this.#find(repository, id)).abort?.();
    return this.#inTurn(repository, id, async (progress) => {
      if (start !== undefined && start !== progress.bytes)
        throw new ProtocolError(
          'BLOB_UPLOAD_INVALID',
          `the chunk starts at ${start}, the upload has ${progress.bytes} bytes`,
          { status: 416, headers: { range: uploadRange(progress.bytes) } },
        );
      const before = progress.bytes;
      progress.abort = () => body.destroy();
      try {
        await this.#write(id, progress, body);
      } finally {
        delete progress.abort;
      }
      if (length !== undefined && progress.bytes - before !== length)
        throw new ProtocolError(
          'SIZE_INVALID',
          `the chunk has ${progress.bytes - before} bytes, not ${length}`,
        );
      return progress.bytes;
    });
  }

  /** Checks the digest over all bytes and publishes them as a blob of the repository. */
  async finish(repository: string, id: string, digest: Digest): Promise<void> {
    await this.#inTurn(repository, id, async (progress) => {
      const actual = await this.#digest(id, progress, digest);
      if (actual !== digest) {
        await this.#discard(id);
        throw new ProtocolError(
          'DIGEST_INVALID',
          `the uploaded content has the digest ${actual}, not ${digest}`,
        );
      }
      await this.#content.adoptBlob(this.#data(id), digest);
      await this.#content.linkBlob(repository, digest);
      await this.#discard(id);
    });
  }

  /** Removes sessions that nothing was written to for `ageMs` milliseconds; gives their count. */
  async collect(ageMs: number, now: number): Promise<number> {
    let removed = 0;
    for (const id of await readdir(join(this.#content.root, 'uploads'))) {
      const found = await stat(this.#data(id)).catch(() => undefined);
      if (found && now - found.mtimeMs < ageMs) continue;
      await this.#discard(id);
      removed += 1;
    }
    return removed;
  }

  async #inTurn<T>(repository: string, id: string, work: (progress: Progress) => Promise<T>): Promise<T> {
    const progress = await this.#find(repository, id);
    const result = progress.turn.then(async () => {
      if (this.#progress.get(id) !== progress)
        throw new ProtocolError('BLOB_UPLOAD_UNKNOWN', 'the upload has ended');
      await this.#catchUp(id, progress);
      return work(progress);
    });
    progress.turn = result.catch(() => undefined);
    return result;
  }

  /** Another process that serves the same directory may have written meanwhile. */
  async #catchUp(id: string, progress: Progress): Promise<void> {
    const { size } = await stat(this.#data(id));
    if (size === progress.bytes) return;
    progress.bytes = size;
    progress.hash = undefined;
  }

  async #write(id: string, progress: Progress, body: AsyncIterable<Buffer>): Promise<void> {
    const handle = await open(this.#data(id), 'r+');
    let pending: Buffer[] = [];
    let pendingBytes = 0;
    const flush = async () => {
      if (pendingBytes === 0) return;
      const [chunks, position] = [pending, progress.bytes];
      pending = [];
      const { bytesWritten } = await handle.writev(chunks, position);
      if (bytesWritten !== pendingBytes) throw new Error(`short write to upload ${id}`);
      for (const chunk of chunks) progress.hash?.update(chunk);
      progress.bytes += pendingBytes;
      pendingBytes = 0;
    };
    try {
      for await (const chunk of body) {
        pending.push(chunk);
        pendingBytes += chunk.length;
        if (pendingBytes >= WRITE_BYTES) await flush();
      }
    } finally {
      try {
        await flush();
      } finally {
        await handle.close();
      }
    }
  }

  async #digest(id: string, progress: Progress, wanted: Digest): Promise<Digest> {
    const algorithm = algorithmOf(wanted);
    if (algorithm === 'sha256' && progress.hash) return finishDigest(progress.hash.copy(), algorithm);
    const hash = startDigest(algorithm);
    for await (const chunk of createReadStream(this.#data(id), { highWaterMark: WRITE_BYTES }))
      hash.update(chunk as Buffer);
    return finishDigest(hash, algorithm);
  }

  async #find(repository: string, id: string): Promise<Progress> {
    const unknown = () => new ProtocolError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload');
    if (!SESSION_ID.test(id)) throw unknown();
    try {
      const owner = await readFile(join(this.#directory(id), 'repository'), 'utf8');
      if (owner !== repository) throw unknown();
      const known = this.#progress.get(id);
      if (known) return known;
      const { size } = await stat(this.#data(id));
      const progress = this.#progress.get(id) ?? { hash: undefined, bytes: size, turn: Promise.resolve() };
      this.#progress.set(id, progress);
      return progress;
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) throw unknown();
      throw error;
    }
  }

  async #discard(id: string): Promise<void> {
    this.#progress.delete(id);
    await rm(this.#directory(id), { recursive: true, force: true });
  }

  #directory(id: string): string {
    return join(this.#content.root, 'uploads', id);
  }

  #data(id: string): string {
    return join(this.#directory(id), 'data');
  }
}

/** The Range header of an upload: inclusive, and `0-0` also for an empty one, as registries have always said. */
export function uploadRange(bytes: number): string {
  return `0-${Math.max(0, bytes - 1)}`;
}
