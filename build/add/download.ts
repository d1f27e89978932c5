import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, readdirSync, readFileSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { getCACertificates } from 'node:tls';
import { algorithmOf, type Digest, parseDigest } from '../../image/digest.ts';
import { proxyFor, proxyRefusal, tunnelStatus } from '../../transport/docker/proxy.ts';
import { TransportError } from '../../transport/error.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import type { RemoteOptions } from './contract.ts';
import { DownloadStore, type Validators } from './download-store.ts';
import { redact } from './redact.ts';

/** A server that sends nothing for so long has gone away (SECURITY D5). */
const IDLE_MS = 60_000;

/**
 * Downloads a file and gives its date in milliseconds, 0 where the server tells none. What was downloaded before is
 * taken again where the server says that it has not changed.
 * @throws BuildError `missing-file`, `bad-option` for another digest than the one expected
 */
export async function download(
  url: string,
  path: string,
  options: RemoteOptions,
  surroundings: BuildSurroundings,
): Promise<number> {
  const expected = options.checksum ? parseChecksum(options.checksum) : undefined;
  const retries = options.retries ?? 3;
  const delayMs = options.retryDelayMs ?? 2000;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await new Download(url, options, surroundings, expected).to(path);
    } catch (cause) {
      surroundings.signal?.throwIfAborted();
      const error = downloadError(url, cause as NodeJS.ErrnoException);
      if (!error.retryable || attempt >= retries) throw error;
      surroundings.onWarning?.(
        `Failed, retrying in ${delayMs < 1000 ? `${delayMs}ms` : `${delayMs / 1000}s`} ... (${attempt + 1}/${retries}). Error: ${error.message}`,
      );
      await sleep(delayMs, undefined, { signal: surroundings.signal });
    }
  }
}

function parseChecksum(text: string): Digest {
  try {
    const digest = parseDigest(text);
    algorithmOf(digest);
    return digest;
  } catch (cause) {
    throw new BuildError('bad-option', `invalid checksum flag: ${(cause as Error).message}`, { cause });
  }
}

/** Told in the words that scripts look for; with several addresses tried Node's own message is empty. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by peer',
  ENOTFOUND: 'no such host',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network is unreachable',
};

function downloadError(url: string, cause: NodeJS.ErrnoException): BuildError | TransportError {
  if (cause instanceof BuildError || cause instanceof TransportError) return cause;
  const reason = REASONS[cause.code ?? ''] ?? cause.message;
  return new BuildError('missing-file', `reading "${redact(url)}": ${peerOf(cause)}${reason}`, {
    cause,
    retryable: true,
  });
}

/** Who refused: it may be a proxy, which the URL does not name. */
function peerOf(cause: Error): string {
  const tried = cause instanceof AggregateError ? (cause.errors as Error[]) : [cause];
  for (const { address, port } of tried as { address?: string; port?: number }[])
    if (address !== undefined && port !== undefined) return `dial tcp ${address}:${port}: `;
  return '';
}

class Download {
  readonly #url: string;
  readonly #options: RemoteOptions;
  readonly #surroundings: BuildSurroundings;
  readonly #expected: Digest | undefined;
  readonly #authorization: string | undefined;
  readonly #store: DownloadStore | undefined;

  constructor(
    url: string,
    options: RemoteOptions,
    surroundings: BuildSurroundings,
    expected: Digest | undefined,
  ) {
    this.#url = url;
    this.#expected = expected;
    this.#options = options;
    this.#surroundings = surroundings;
    this.#authorization = options.authorization?.('http', new URL(url));
    const isPrivate = this.#authorization !== undefined || new URL(url).username !== '';
    if (options.downloadDirectory !== undefined && !isPrivate)
      this.#store = new DownloadStore(options.downloadDirectory, surroundings.now);
  }

  async to(path: string): Promise<number> {
    const known = this.#store?.find(this.#url);
    const response = await this.#open(this.#url, conditions(known), 10);
    if (response.statusCode === 304 && known) {
      response.resume();
      if (!this.#store?.take(this.#url, path)) {
        this.#store?.forget(this.#url);
        return this.to(path);
      }
      await this.#checkFile(path);
      return Date.parse(known.lastModified ?? '') || 0;
    }
    await this.#receive(response, path);
    this.#keep(response, path);
    return Date.parse(response.headers['last-modified'] ?? '') || 0;
  }

  async #receive(response: IncomingMessage, path: string): Promise<void> {
    const check = this.#checker();
    await pipeline(
      response,
      async function* (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          check?.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(path),
      { signal: this.#surroundings.signal },
    );
    check?.end();
  }

  async #checkFile(path: string): Promise<void> {
    const check = this.#checker();
    if (!check) return;
    for await (const chunk of createReadStream(path)) check.update(chunk as Buffer);
    check.end();
  }

  #checker(): { update(chunk: Buffer): void; end(): void } | undefined {
    const expected = this.#expected;
    if (expected === undefined) return undefined;
    const hash = createHash(algorithmOf(expected));
    return {
      update: (chunk) => void hash.update(chunk),
      end: () => this.#compare(expected, hash.digest('hex')),
    };
  }

  #compare(expected: Digest, hex: string): void {
    const found = `${algorithmOf(expected)}:${hex}`;
    if (found === expected) return;
    const shown = redact(this.#url);
    throw new BuildError(
      'bad-option',
      `reading "${shown}": unexpected response digest for "${shown}": ${found}, want ${expected}`,
    );
  }

  #keep({ headers }: IncomingMessage, path: string): void {
    const { etag, 'last-modified': lastModified, 'cache-control': control = '' } = headers;
    if (etag === undefined || /\bno-store\b/i.test(control)) return;
    this.#store?.keep(this.#url, path, { etag, ...(lastModified === undefined ? {} : { lastModified }) });
  }

  /** Follows redirects; the credential stays with the origin that it is for (SECURITY I7). */
  #open(url: string, conditional: Record<string, string>, redirects: number): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const fail = (why: string, retryable = false) =>
      reject(new BuildError('missing-file', `reading "${redact(url)}": ${why}`, { retryable }));
    const proxy = proxyFor(new URL(url), this.#surroundings.environment);
    const request = this.#request(url, conditional, proxy);
    request.setTimeout(IDLE_MS, () => request.destroy(new Error(`no data for ${IDLE_MS / 1000} s`)));
    request.on('error', (error: NodeJS.ErrnoException) => {
      const refused = tunnelStatus(error);
      reject(proxy && refused ? proxyRefusal(reading(url), proxy, refused) : untrusted(url, error));
    });
    request.on('response', (response) => {
      const status = response.statusCode ?? 0;
      if (proxy && status === 407) {
        request.destroy();
        return reject(proxyRefusal(reading(url), proxy, status));
      }
      const { location } = response.headers;
      if (status === 304 && Object.keys(conditional).length > 0) return resolve(response);
      if (status >= 200 && status < 300) return resolve(response);
      response.resume();
      if (status < 300 || status >= 400 || !location)
        return fail(`invalid response status ${status}`, status >= 500 || status === 429);
      if (redirects === 0) return fail('too many redirects');
      const next = URL.parse(location, url)?.href ?? '';
      if (!/^https?:/.test(next)) return fail(`a redirect to ${JSON.stringify(location.slice(0, 200))}`);
      this.#open(next, conditional, redirects - 1).then(resolve, reject);
    });
    request.end();
    return promise;
  }

  #request(url: string, conditional: Record<string, string>, proxy: URL | undefined) {
    const { docker, signal } = this.#surroundings;
    const sameOrigin = new URL(url).origin === new URL(this.#url).origin;
    const headers = {
      'user-agent': docker.userAgent ?? 'slipway',
      ...conditional,
      ...(this.#authorization !== undefined && sameOrigin ? { authorization: this.#authorization } : {}),
    };
    return url.startsWith('https:')
      ? httpsRequest(url, { headers, signal, agent: secureAgent(this.#options, this.#surroundings, proxy) })
      : httpRequest(url, { headers, signal, agent: new HttpAgent(through(proxy)) });
  }
}

function conditions(known: Validators | undefined): Record<string, string> {
  return known?.etag === undefined ? {} : { 'if-none-match': known.etag };
}

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** Certificates of an unknown authority are told in the words that scripts look for. */
function untrusted(url: string, error: NodeJS.ErrnoException): Error {
  if (!UNTRUSTED.has(error.code ?? '')) return error;
  return new BuildError(
    'missing-file',
    `reading "${redact(url)}": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    { cause: error, retryable: true, hint: 'name its certificates with --cert-dir' },
  );
}

/** Chosen by the rules of all other requests; Node's own reading of NO_PROXY is another one. */
function through(proxy: URL | undefined) {
  return proxy ? { proxyEnv: { HTTP_PROXY: proxy.href, HTTPS_PROXY: proxy.href } } : {};
}

function reading(url: string): string {
  return `reading "${redact(url)}"`;
}

function secureAgent(
  options: RemoteOptions,
  { environment }: BuildSurroundings,
  proxy: URL | undefined,
): Agent {
  const pick = (suffix: string) => {
    if (!options.certificateDirectory) return [];
    const directory = options.certificateDirectory;
    return readdirSync(directory)
      .filter((name) => name.endsWith(suffix))
      .map((name) => readFileSync(join(directory, name), 'utf8'));
  };
  const system = environment.SSL_CERT_FILE
    ? [readFileSync(environment.SSL_CERT_FILE, 'utf8')]
    : [...new Set([...getCACertificates('default'), ...getCACertificates('system')])];
  const certificates = pick('.cert');
  return new Agent({
    ca: [...system, ...pick('.crt')],
    ...(certificates.length ? { cert: certificates, key: pick('.key') } : {}),
    rejectUnauthorized: options.tlsVerify !== false,
    ...through(proxy),
  });
}
