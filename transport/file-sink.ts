import { close, fdatasync, fsync, open, writev } from 'node:fs';
import { Writable } from 'node:stream';

/** Waits in memory while one write is under way. */
const BATCH_BYTES = 1 << 20;
/** So much may wait for the disk before it is asked to start. */
const FLUSH_BYTES = 1 << 24;

type Done = (error?: Error | null) => void;

/**
 * A new file that is written in large pieces. With `sync` it is on disk when the stream has finished: what is written is
 * flushed while more of it comes, so that there is little to wait for at the end.
 */
export class FileSink extends Writable {
  readonly #path: string;
  readonly #sync: boolean;
  #file: number | undefined;
  #unflushedBytes = 0;
  #flushing: Promise<void> | undefined;
  /** The system tells of a failed flush once; a later one would succeed. */
  #failure: Error | undefined;
  bytesWritten = 0;

  constructor(path: string, options: { readonly sync: boolean }) {
    super({ highWaterMark: BATCH_BYTES, decodeStrings: false });
    this.#path = path;
    this.#sync = options.sync;
  }

  override _construct(done: Done): void {
    open(this.#path, 'wx', 0o644, (error, file) => {
      this.#file = file;
      done(error);
    });
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#writeAll([chunk], done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: Done): void {
    this.#writeAll(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  #writeAll(chunks: Buffer[], done: Done): void {
    writev(this.#file as number, chunks, (error, written) => {
      if (error) {
        done(error);
        return;
      }
      this.bytesWritten += written;
      this.#unflushedBytes += written;
      this.#startFlush();
      const rest = after(chunks, written);
      if (rest.length === 0) done();
      else this.#writeAll(rest, done);
    });
  }

  #startFlush(): void {
    if (!this.#sync || this.#flushing || this.#unflushedBytes < FLUSH_BYTES) return;
    this.#unflushedBytes = 0;
    this.#flushing = new Promise((resolve) => {
      fdatasync(this.#file as number, (error) => {
        this.#failure ??= error ?? undefined;
        this.#flushing = undefined;
        resolve();
      });
    });
  }

  override _final(done: Done): void {
    const flush = () => {
      if (this.#failure || !this.#sync) done(this.#failure);
      else fsync(this.#file as number, done);
    };
    if (this.#flushing) void this.#flushing.then(flush);
    else flush();
  }

  override _destroy(error: Error | null, done: Done): void {
    const file = this.#file;
    if (file === undefined) done(error);
    else void Promise.resolve(this.#flushing).then(() => close(file, (failure) => done(error ?? failure)));
  }
}

/** What a write of so many bytes left. */
function after(chunks: readonly Buffer[], writtenBytes: number): Buffer[] {
  let skip = writtenBytes;
  const rest: Buffer[] = [];
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(skip > 0 ? chunk.subarray(skip) : chunk);
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}
