import { Readable } from 'node:stream';
import { type Digest, finishDigest, startDigest } from '../../image/digest.ts';
import { TransportError } from '../error.ts';
import { askForRereading } from '../retry.ts';
import type { HttpResponse } from './http.ts';
import { discardBody } from './read-body.ts';
import { registryError } from './registry-error.ts';
import { ReplayWindow } from './replay.ts';
import type { Repository } from './repository.ts';
import { isRetryable, isTransientStatus, mayRetry, pause, type RetryPolicy, retryDelay } from './retry.ts';

/** An upload session of the registry: where to send to, and how many bytes it has. */
export interface UploadSession {
  readonly location: URL;
  readonly offset: number;
}

export interface UploadOptions {
  /** Known beforehand, or computed on the way. */
  readonly digest?: Digest;
  /** Bytes of the whole blob. */
  readonly size?: number;
  /** Where `source` starts in the blob; bytes that the session has already are read and dropped. */
  readonly offset: number;
  readonly retry: RetryPolicy;
  readonly signal?: AbortSignal;
}

/** More than sockets on both sides usually hold; six uploads at once keep 48 MiB. */
const WINDOW_BYTES = 8 * 1024 * 1024;
const OCTETS = { 'content-type': 'application/octet-stream' };

/** Opens a session (distribution-spec 1.1, "Pushing blobs"). */
export async function startUpload(repository: Repository, signal?: AbortSignal): Promise<UploadSession> {
  const response = await repository.send({
    method: 'POST',
    target: 'blobs/uploads/',
    ...(signal ? { signal } : {}),
  });
  if (response.status !== 202)
    throw await registryError(response, `initiating layer upload to ${repository.title}`);
  await discardBody(response);
  return { location: locationOf(response, repository), offset: 0 };
}

/** What a session has by now; undefined where the registry no longer knows it. */
export async function uploadStatus(
  repository: Repository,
  location: URL,
  signal?: AbortSignal,
): Promise<UploadSession | undefined> {
  const response = await repository.send({ method: 'GET', target: location, ...(signal ? { signal } : {}) });
  await discardBody(response);
  if (response.status !== 204 && response.status !== 202) return undefined;
  const match = /^(?:bytes=)?0-(\d{1,15})$/.exec(response.header('range') ?? '0-0');
  if (!match) return undefined;
  const last = Number(match[1]);
  return {
    location: response.header('location') ? locationOf(response, repository) : location,
    // An empty session says 0-0 as one of a single byte does.
    offset: last === 0 ? 0 : last + 1,
  };
}

/** Tells the registry that nobody will go on with a session; whether it listens does not matter. */
export async function cancelUpload(repository: Repository, location: URL): Promise<void> {
  try {
    await discardBody(await repository.send({ method: 'DELETE', target: location }));
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
  }
}

/**
 * Sends a blob into a session and publishes it. When the connection breaks, it goes on from the offset that the
 * registry reports as long as the last 8 MiB reach back so far; else it throws a retryable error that
 * {@link needsRereading}, and the session stays for the next try.
 * @throws TransportError `digest-mismatch` when the registry finds another digest
 */
export async function uploadBlob(
  repository: Repository,
  session: UploadSession,
  source: Readable,
  options: UploadOptions,
): Promise<{ readonly digest: Digest; readonly size: number }> {
  const upload = new Upload(repository, source, options);
  return upload.run(session);
}

class Upload {
  readonly #repository: Repository;
  readonly #options: UploadOptions;
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #hash;
  readonly #window: ReplayWindow;
  #ended = false;
  #broken: { readonly error: unknown } | undefined;

  constructor(repository: Repository, source: Readable, options: UploadOptions) {
    this.#repository = repository;
    this.#options = options;
    this.#chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#hash = options.digest === undefined ? startDigest() : undefined;
    this.#window = new ReplayWindow(options.offset, WINDOW_BYTES);
  }

  async run(first: UploadSession): Promise<{ readonly digest: Digest; readonly size: number }> {
    await this.#skipTo(first.offset);
    let session = first;
    let furthest = first.offset;
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#attempt(session);
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        // Whatever the source says of itself, it has given all that it will.
        if (this.#broken) throw this.#broken.error;
        if (!isRetryable(error)) throw error;
        const next = await this.#recover(session, error);
        if (next === 'published') return { digest: this.#digest(), size: this.#window.end };
        if (next.offset > furthest) tries = 1;
        furthest = Math.max(furthest, next.offset);
        if (!mayRetry(this.#options.retry, tries)) throw error;
        await pause(retryDelay(this.#options.retry, tries, undefined, Date.now()), this.#options.signal);
        session = next;
      }
    }
  }

  /** With a known digest one request does it all; else the digest follows behind the bytes. */
  async #attempt(session: UploadSession): Promise<{ readonly digest: Digest; readonly size: number }> {
    const { digest } = this.#options;
    const whole = digest !== undefined && session.offset === 0;
    if (whole)
      return this.#finish(await this.#transmit('PUT', withDigest(session.location, digest), session.offset));
    const response = await this.#transmit('PATCH', session.location, session.offset);
    if (response.status < 200 || response.status >= 300)
      throw await this.#failure(response, 'uploading layer chunked');
    await discardBody(response);
    const location = response.header('location') ? locationOf(response, this.#repository) : session.location;
    return this.#finish(
      await this.#repository.send({
        method: 'PUT',
        target: withDigest(location, this.#digest()),
        headers: OCTETS,
        body: new Uint8Array(),
        ...(this.#options.signal ? { signal: this.#options.signal } : {}),
      }),
    );
  }

  async #finish(response: HttpResponse): Promise<{ readonly digest: Digest; readonly size: number }> {
    if (response.status !== 201 && response.status !== 204)
      throw await this.#failure(response, 'uploading layer');
    await discardBody(response);
    return { digest: this.#digest(), size: this.#window.end };
  }

  #transmit(method: string, target: URL, offset: number): Promise<HttpResponse> {
    const { size, signal } = this.#options;
    const body = Readable.from(this.#body(offset), { objectMode: false, highWaterMark: 1 << 18 });
    return this.#repository.send({
      method,
      target,
      headers:
        size !== undefined && offset > 0 && size > offset
          ? { ...OCTETS, 'content-range': `${offset}-${size - 1}` }
          : OCTETS,
      body,
      ...(size === undefined ? {} : { bodyBytes: size - offset }),
      ...(signal ? { signal } : {}),
    });
  }

  async *#body(offset: number): AsyncGenerator<Buffer> {
    const again = this.#window.from(offset);
    if (!again) throw new Error(`offset ${offset} is outside the replay window`);
    yield* again;
    for (let chunk = await this.#pull(); chunk !== undefined; chunk = await this.#pull()) yield chunk;
  }

  /** Every chunk is hashed and remembered before anybody can lose it. */
  async #pull(): Promise<Buffer | undefined> {
    if (this.#ended) return undefined;
    const { done, value } = await this.#chunks.next().catch((error: unknown) => {
      this.#broken = { error };
      throw error;
    });
    if (done) {
      this.#ended = true;
      return undefined;
    }
    this.#hash?.update(value);
    this.#window.push(value);
    return value;
  }

  async #skipTo(offset: number): Promise<void> {
    while (this.#window.end < offset)
      if ((await this.#pull()) === undefined)
        throw new TransportError(
          'size-mismatch',
          `the upload has ${offset} bytes, the blob only ${this.#window.end}`,
        );
  }

  async #recover(session: UploadSession, error: unknown): Promise<UploadSession | 'published'> {
    const { digest, signal } = this.#options;
    const status = await uploadStatus(this.#repository, session.location, signal).catch(() => undefined);
    if (status && this.#window.from(status.offset)) return status;
    if (!status && digest !== undefined) {
      // The answer may have been lost behind a success.
      const size = await this.#repository.blobSize(digest, signal ? { signal } : {}).catch(() => undefined);
      if (size !== undefined) return 'published';
    }
    if (!status && this.#window.from(0)) return startUpload(this.#repository, signal);
    throw askForRereading(error);
  }

  async #failure(response: HttpResponse, doing: string): Promise<TransportError> {
    const error = await registryError(response, `${doing} to ${this.#repository.title}`);
    const codes = error.facts.codes as readonly string[];
    if (codes.includes('DIGEST_INVALID'))
      return new TransportError('digest-mismatch', error.message, { cause: error, facts: error.facts });
    // A 401 after the start was allowed: the token expired, and asking for the status fetches another one.
    const lost = [401, 404, 416].includes(response.status);
    return lost || isTransientStatus(response.status)
      ? new TransportError(error.code, error.message, { cause: error, facts: error.facts, retryable: true })
      : error;
  }

  #digest(): Digest {
    return this.#options.digest ?? finishDigest((this.#hash ?? startDigest()).copy());
  }
}

function withDigest(location: URL, digest: Digest): URL {
  const url = new URL(location);
  url.searchParams.set('digest', digest);
  return url;
}

export function locationOf(response: HttpResponse, repository: Repository): URL {
  const text = response.header('location');
  if (text === undefined || !URL.canParse(text, response.url.href))
    throw new TransportError('registry', `${repository.title}: the registry gives no usable upload location`);
  const url = new URL(text, response.url);
  url.username = '';
  url.password = '';
  return url;
}
