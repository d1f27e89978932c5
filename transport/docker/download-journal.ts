import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { isSystemError } from '../../errors.ts';
import { algorithmOf, type Digest, encodedOf, finishDigest, startDigest } from '../../image/digest.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { TransportError } from '../error.ts';

export interface JournalLimits {
  /** Smaller blobs are downloaded again sooner than they are kept; default 4 MiB. */
  readonly minimumBytes?: number;
  /** All kept bytes together; default 10 GiB. The oldest go first. */
  readonly capBytes?: number;
}

const WRITE_BYTES = 1024 * 1024;

/**
 * Keeps the bytes of downloads on disk until the image is copied, so that a run after a crash need not move them
 * again. Files are named by digest and by the process that writes them; those of dead processes are taken over. What
 * is served from here is checked by digest. A journal that cannot be written is no reason to fail.
 */
export class DownloadJournal {
  readonly #directory: string;
  readonly #minimumBytes: number;
  readonly #capBytes: number;
  readonly #complete = new Set<string>();
  #failed = false;

  constructor(journalDirectory: string, limits: JournalLimits = {}) {
    this.#directory = join(journalDirectory, 'downloads');
    this.#minimumBytes = limits.minimumBytes ?? 4 * 1024 * 1024;
    this.#capBytes = limits.capBytes ?? 10 * 1024 * 1024 * 1024;
  }

  /**
   * The blob's stream, as far as possible from disk.
   * @param fetch gives the rest from an offset
   */
  async stream(
    blob: { readonly digest: Digest; readonly size: number },
    fetch: (offset: number) => Promise<BlobStream>,
  ): Promise<BlobStream> {
    if (blob.size < this.#minimumBytes || blob.size > this.#capBytes) return fetch(0);
    const part = await this.#claim(blob);
    if (!part) return fetch(0);
    try {
      // Errors of the first request must come from here, not from the middle of the stream.
      const rest = part.bytes < blob.size ? await this.#rest(part, fetch) : undefined;
      return {
        stream: Readable.from(this.#bytes(part, blob, rest), {
          objectMode: false,
          highWaterMark: WRITE_BYTES,
        }),
        sizeBytes: blob.size,
      };
    } catch (error) {
      this.#failed = true;
      await part.close();
      throw error;
    }
  }

  /** Forgets whole blobs when the copy is over; after a failure everything stays for the next run. */
  async close(options: { readonly aborted: boolean }): Promise<void> {
    if (this.#failed || options.aborted) return;
    await Promise.all([...this.#complete].map((path) => rm(path, { force: true })));
  }

  async #rest(part: Part, fetch: (offset: number) => Promise<BlobStream>): Promise<BlobStream> {
    try {
      return await fetch(part.bytes);
    } catch (error) {
      if (part.bytes === 0 || !(error instanceof TransportError) || error.code !== 'registry') throw error;
      // A registry without ranges: all over again.
      await part.reset();
      return fetch(0);
    }
  }

  async *#bytes(
    part: Part,
    blob: { readonly digest: Digest },
    rest: BlobStream | undefined,
  ): AsyncGenerator<Buffer> {
    const algorithm = algorithmOf(blob.digest);
    // Bytes straight from the registry are checked by whoever asked for them.
    const hash: Hash | undefined = part.bytes > 0 ? startDigest(algorithm) : undefined;
    let ended = false;
    try {
      if (part.bytes > 0)
        for await (const chunk of createReadStream(part.path, {
          end: part.bytes - 1,
          highWaterMark: WRITE_BYTES,
        })) {
          hash?.update(chunk as Buffer);
          yield chunk as Buffer;
        }
      if (rest)
        for await (const chunk of rest.stream as AsyncIterable<Buffer>) {
          await part.append(chunk);
          hash?.update(chunk);
          yield chunk;
        }
      await part.flush();
      ended = true;
      if (hash && finishDigest(hash, algorithm) !== blob.digest) {
        await part.reset();
        throw new TransportError(
          'digest-mismatch',
          `the kept part of blob ${blob.digest} is damaged; it was removed`,
          {
            retryable: true,
          },
        );
      }
      this.#complete.add(part.path);
    } finally {
      if (!ended) this.#failed = true;
      rest?.stream.destroy();
      await part.close();
    }
  }

  async #claim(blob: { readonly digest: Digest; readonly size: number }): Promise<Part | undefined> {
    const name = `${algorithmOf(blob.digest)}-${encodedOf(blob.digest)}`;
    const path = join(this.#directory, `${name}.${process.pid}`);
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const names = await readdir(this.#directory);
      await this.#makeRoom(names, blob.size);
      for (const candidate of names)
        if (candidate.startsWith(`${name}.`) && isAbandoned(candidate))
          await rename(join(this.#directory, candidate), path).catch(ignoreMissing);
      // Exclusive where it is new: the same blob may be read twice at once by this process.
      const handle = await open(path, names.includes(`${name}.${process.pid}`) ? 'wx' : 'a', 0o600);
      const { size } = await handle.stat();
      if (size > blob.size) await handle.truncate(0);
      await utimes(path, new Date(), new Date());
      return new Part(path, handle, size > blob.size ? 0 : size);
    } catch (error) {
      if (isSystemError(error)) return undefined;
      throw error;
    }
  }

  async #makeRoom(names: readonly string[], neededBytes: number): Promise<void> {
    const kept = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#directory, name);
        const found = await stat(path).catch(() => undefined);
        return { name, path, size: found?.size ?? 0, ms: found?.mtimeMs ?? 0 };
      }),
    );
    let total = kept.reduce((sum, { size }) => sum + size, neededBytes);
    for (const { name, path, size } of kept.sort((a, b) => a.ms - b.ms)) {
      if (total <= this.#capBytes) return;
      if (!isAbandoned(name)) continue;
      await rm(path, { force: true });
      total -= size;
    }
  }
}

/** One file of the journal while it is written. */
class Part {
  readonly path: string;
  /** What was there when it was claimed. */
  bytes: number;
  readonly #handle: FileHandle;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #broken = false;

  constructor(path: string, handle: FileHandle, bytes: number) {
    this.path = path;
    this.#handle = handle;
    this.bytes = bytes;
  }

  async append(chunk: Buffer): Promise<void> {
    if (this.#broken) return;
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    if (this.#pendingBytes < WRITE_BYTES) return;
    // One write is under way while the next bytes arrive.
    await this.#writing;
    this.#write();
  }

  async flush(): Promise<void> {
    await this.#writing;
    this.#write();
    await this.#writing;
  }

  #write(): void {
    const chunks = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#broken || chunks.length === 0) return;
    this.#writing = this.#handle.writev(chunks).then(
      () => undefined,
      () => this.#giveUp(),
    );
  }

  /** A full disk must not keep the copy from ending: what is kept is only a convenience. */
  async #giveUp(): Promise<void> {
    this.#broken = true;
    await rm(this.path, { force: true });
  }

  async reset(): Promise<void> {
    this.bytes = 0;
    await this.#handle.truncate(0);
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#handle.close();
  }
}

/** True for a file whose process is gone. */
function isAbandoned(name: string): boolean {
  const pid = Number(/\.(\d+)$/.exec(name)?.[1] ?? 0);
  if (pid === process.pid) return false;
  try {
    return pid === 0 || !process.kill(pid, 0);
  } catch (error) {
    return isSystemError(error, 'ESRCH');
  }
}

function ignoreMissing(error: unknown): void {
  if (!isSystemError(error, 'ENOENT')) throw error;
}
