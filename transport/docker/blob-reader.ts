import { Readable } from 'node:stream';
import { TransportError } from '../error.ts';
import type { HttpResponse } from './http.ts';
import { isRetryable, pause } from './retry.ts';

/** Asks for a blob, from `offset` where it is not 0. */
export type FetchBlob = (offset: number) => Promise<HttpResponse>;

const MINIMUM_PROGRESS_BYTES = 1024 * 1024;
const PATIENCE_MS = 60_000;
/** Each of at most 64 KiB. */
const CHUNKS_AHEAD = 16;

export interface BlobReaderOptions {
  /** `blob sha256:… in docker.io/library/alpine`, for messages. */
  readonly what: string;
  /** Where the first answer starts. */
  readonly offset: number;
  /** Pause before a download is taken up again, in milliseconds; default 1,000 and up to a tenth more. */
  readonly resumeDelayMs?: number;
  readonly signal?: AbortSignal;
  readonly now?: () => number;
}

/**
 * The bytes of a blob. A connection that breaks or stalls is replaced by a ranged request from where it stopped, the
 * first time at once, later only after a mebibyte of progress or a minute (containers/image docker/body_reader.go).
 */
export function blobStream(first: HttpResponse, fetch: FetchBlob, options: BlobReaderOptions): Readable {
  return new BlobReader(first, fetch, options);
}

/** Hands chunks straight on: an async generator in between costs more than to receive them. */
class BlobReader extends Readable {
  readonly #fetch: FetchBlob;
  readonly #options: BlobReaderOptions;
  readonly #now: () => number;
  #body: HttpResponse['body'];
  #offset: number;
  #resumed: { readonly offset: number; readonly ms: number } | undefined;

  constructor(first: HttpResponse, fetch: FetchBlob, options: BlobReaderOptions) {
    super({ objectMode: true, highWaterMark: CHUNKS_AHEAD });
    this.#fetch = fetch;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#offset = options.offset;
    this.#body = first.body;
    this.#listen();
  }

  override _read(): void {
    this.#body.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#body.destroy();
    done(error);
  }

  /** Pauses first: listening alone would start the flow before anybody reads. */
  #listen(): void {
    const body = this.#body.pause();
    body.on('data', (chunk: Buffer) => {
      this.#offset += chunk.length;
      if (!this.push(chunk)) body.pause();
    });
    let failure: Error | undefined;
    body.once('error', (error) => {
      failure = error;
    });
    // A stream that was destroyed without an error ends like a whole one.
    body.once('close', () => {
      if (body !== this.#body || this.destroyed) return;
      if (body.complete && !failure) this.push(null);
      else
        void this.#goOn(
          failure ?? new TransportError('network', 'the connection ended too early', { retryable: true }),
        );
    });
  }

  async #goOn(error: Error): Promise<void> {
    const { what, resumeDelayMs = 1000, signal } = this.#options;
    try {
      if (!isRetryable(error) || !this.#isHopeful()) throw failed(what, this.#offset, error);
      await pause(resumeDelayMs * (1 + Math.random() / 10), signal);
      const response = await resume(this.#fetch, this.#offset, what, error);
      this.#resumed = { offset: this.#offset, ms: this.#now() };
      this.#body = response.body;
      if (this.destroyed) response.body.destroy();
      else {
        this.#listen();
        response.body.resume();
      }
    } catch (reason) {
      this.destroy(reason as Error);
    }
  }

  #isHopeful(): boolean {
    const resumed = this.#resumed;
    return (
      resumed === undefined ||
      this.#offset - resumed.offset >= MINIMUM_PROGRESS_BYTES ||
      this.#now() - resumed.ms >= PATIENCE_MS
    );
  }
}

async function resume(
  fetch: FetchBlob,
  offset: number,
  what: string,
  broken: unknown,
): Promise<HttpResponse> {
  const response = await fetch(offset);
  const wrong = offset === 0 && response.status === 200 ? undefined : wrongRange(response, offset);
  if (wrong === undefined) return response;
  response.body.destroy();
  throw new TransportError('network', `${what}: ${messageOf(broken)} (after reconnecting, ${wrong})`, {
    cause: broken,
    retryable: true,
  });
}

/** Why an answer is not the rest of the blob from `offset`; undefined where it is (RFC 9110, 14.4). */
export function wrongRange(response: HttpResponse, offset: number): string | undefined {
  if (response.status === 200) return 'the server did not process the Range header';
  if (response.status !== 206) return `the status is ${response.status}`;
  const headers = response.values('content-range');
  if (headers.length !== 1) return `there are ${headers.length} Content-Range headers`;
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(headers[0] as string);
  if (!match) return 'the Content-Range header is malformed';
  const [first, last, size] = [Number(match[1]), Number(match[2]), match[3]];
  if (first !== offset) return `the range starts at ${first} instead of ${offset}`;
  if (last < first || (size !== '*' && last + 1 !== Number(size)))
    return 'the range ends before the blob does';
  return undefined;
}

function failed(what: string, offset: number, error: unknown): unknown {
  if (!(error instanceof TransportError)) return error;
  return new TransportError(error.code, `${what}, after ${offset} bytes: ${error.message}`, {
    cause: error,
    retryable: error.retryable,
    facts: { ...error.facts, offset },
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
