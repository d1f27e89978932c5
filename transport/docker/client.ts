import type { Readable } from 'node:stream';
import type { Credentials } from '../../config/credential-helper.ts';
import { TransportError } from '../error.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { HttpClient, type HttpResponse } from './http.ts';
import { checkHop, sameOrigin } from './origin.ts';
import { discardBody } from './read-body.ts';
import { registryError } from './registry-error.ts';
import { isRetryable, isTransientStatus, mayRetry, pause, type RetryPolicy, retryDelay } from './retry.ts';
import type { TlsSettings } from './tls.ts';
import { basicHeader, parseScopes, type Scope, TokenStore } from './token.ts';
import { parseWarning } from './warning.ts';

export interface ClientOptions {
  /** As in references; `docker.io` is spoken to at registry-1.docker.io. */
  readonly domain: string;
  readonly tls: TlsSettings;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stallTimeoutMs: number;
  readonly retry: RetryPolicy;
  readonly userAgent: string;
  /** Used as it is instead of tokens of the registry's own. */
  readonly bearerToken?: string;
  readonly onWarning?: (text: string) => void;
}

export interface RegistryRequest {
  readonly method: string;
  /** A path of the registry (`/v2/…`), or the absolute URL that it gave for an upload. */
  readonly target: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | Readable;
  readonly bodyBytes?: number;
  /** What a token must allow. */
  readonly scopes: readonly Scope[];
  readonly credentials: Credentials | undefined;
  readonly signal?: AbortSignal;
}

const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Sent along to other origins; everything else may be meant for the registry alone. */
const HARMLESS_HEADERS = ['accept', 'range', 'content-type', 'content-range', 'user-agent'];

/** What the ping told. */
export interface RegistryProperties {
  readonly origin: URL;
  readonly challenges: readonly Challenge[];
  /** The X-Registry-Supports-Signatures extension. */
  readonly supportsSignatures: boolean;
}

/**
 * Speaks to one registry: scheme detection, authentication, redirects, retries. Answers come back whatever their
 * status; only network failures, refused hops and failing token servers throw.
 */
export class RegistryClient {
  readonly #options: ClientOptions;
  readonly #http: HttpClient;
  /** For other origins: the same trust, without the certificates that prove who we are. */
  readonly #foreign: HttpClient;
  readonly #warned = new Set<string>();
  #properties: Promise<RegistryProperties> | undefined;
  #tokens: TokenStore | undefined;
  /** Challenges that came with a 401 although the ping had none. */
  #learned: readonly Challenge[] | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    const { environment, stallTimeoutMs, tls } = options;
    this.#http = new HttpClient({ environment, stallTimeoutMs, tls });
    this.#foreign = tls.clients.length
      ? new HttpClient({ environment, stallTimeoutMs, tls: { ...tls, clients: [] } })
      : this.#http;
  }

  /**
   * GET /v2/ over https, then over http where the registry is insecure; done once.
   * @throws TransportError `network`, `registry`, ...
   */
  properties(signal?: AbortSignal): Promise<RegistryProperties> {
    if (!this.#properties) {
      const detecting = this.#detect(signal);
      this.#properties = detecting;
      detecting.catch(() => {
        if (this.#properties === detecting) this.#properties = undefined;
      });
    }
    return this.#properties;
  }

  async #detect(signal: AbortSignal | undefined): Promise<RegistryProperties> {
    const { domain, tls } = this.#options;
    const host = domain === 'docker.io' ? 'registry-1.docker.io' : domain;
    if (!URL.canParse(`https://${host}`))
      throw new TransportError('bad-reference', `${JSON.stringify(host)} is no address of a registry`);
    // On this machine nobody listens in between, and most registries there speak plain http.
    const local = isLoopbackName(host);
    const schemes = tls.insecure ? (local ? ['http', 'https'] : ['https', 'http']) : ['https'];
    let failure: unknown;
    for (const scheme of schemes) {
      try {
        return await this.#ping(new URL(`${scheme}://${host}`), scheme === schemes.at(-1), signal);
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof TransportError)) throw error;
        if (failure === undefined || scheme === 'http') failure = error;
      }
    }
    const cause = failure as TransportError;
    throw new TransportError(cause.code, `pinging container registry ${host}: ${cause.message}`, {
      cause,
      retryable: cause.retryable,
      facts: cause.facts,
      hint: cause.hint ?? pingHint(cause, tls.insecure, host),
    });
  }

  /** @param last a broken connection is only worth repeating where no other scheme is left */
  async #ping(origin: URL, last: boolean, signal: AbortSignal | undefined): Promise<RegistryProperties> {
    const response = await this.#repeat(
      { method: 'GET', url: new URL('/v2/', origin), headers: this.#headers() },
      true,
      signal,
      last,
    );
    if (response.status !== 200 && response.status !== 401)
      throw await registryError(response, `GET ${origin.origin}/v2/`);
    const challenges = parseChallenges(response.values('www-authenticate'));
    const supportsSignatures = response.header('x-registry-supports-signatures') === '1';
    await discardBody(response);
    return { origin, challenges, supportsSignatures };
  }

  /** Sends a request with authentication, following redirects and repeating it as far as its body allows. */
  async request(request: RegistryRequest): Promise<HttpResponse> {
    const properties = await this.properties(request.signal);
    const url = request.target instanceof URL ? request.target : new URL(request.target, properties.origin);
    if (!sameOrigin(url, properties.origin)) {
      checkHop(properties.origin, url, 'an upload');
      return this.#send(request, url, undefined, false);
    }
    const challenges = this.#learned ?? properties.challenges;
    const authorization = await this.#authorization(request, challenges, request.scopes);
    const response = await this.#send(request, url, authorization, true);
    // A challenge of a server that we were redirected to is not answered with what is meant for this one.
    const ours = sameOrigin(response.url, properties.origin);
    if (response.status !== 401 || !ours || isStream(request.body)) return response;
    const second = await this.#answerChallenge(request, response, authorization);
    if (second === undefined) return response;
    await discardBody(response);
    return this.#send(request, url, second, true);
  }

  /** GETs a URL that an image names (a foreign layer): never with credentials. */
  async requestForeign(
    url: URL,
    signal?: AbortSignal,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<HttpResponse> {
    const { origin } = await this.properties(signal);
    checkHop(origin, url, 'the download of a layer');
    return this.#follow({ method: 'GET', url, headers: { ...this.#headers(), ...headers } }, false, signal);
  }

  /** GETs a URL of a server that the user's configuration names (a signature store): no credentials, no relation to this registry. */
  async requestConfigured(url: URL, signal?: AbortSignal): Promise<HttpResponse> {
    return this.#follow({ method: 'GET', url, headers: this.#headers() }, false, signal);
  }

  #send(
    request: RegistryRequest,
    url: URL,
    authorization: string | undefined,
    own: boolean,
  ): Promise<HttpResponse> {
    const { method, body, bodyBytes, signal } = request;
    const headers = { ...this.#headers(), ...request.headers, ...(authorization ? { authorization } : {}) };
    return this.#follow(
      {
        method,
        url,
        headers: own ? headers : harmless(headers),
        ...(body === undefined ? {} : { body }),
        ...(bodyBytes === undefined ? {} : { bodyBytes }),
      },
      own,
      signal,
    );
  }

  async #authorization(
    request: RegistryRequest,
    challenges: readonly Challenge[],
    scopes: readonly Scope[],
  ): Promise<string | undefined> {
    for (const challenge of challenges) {
      if (challenge.scheme === 'basic') {
        const { credentials } = request;
        return credentials?.username ? basicHeader(credentials) : undefined;
      }
      if (challenge.scheme !== 'bearer') continue;
      if (this.#options.bearerToken) return `Bearer ${this.#options.bearerToken}`;
      const { credentials, signal } = request;
      const tokens = await this.#tokenStore();
      return `Bearer ${await tokens.get({ challenge, scopes, credentials, ...(signal ? { signal } : {}) })}`;
    }
    return undefined;
  }

  async #tokenStore(): Promise<TokenStore> {
    const { origin } = await this.properties();
    this.#tokens ??= new TokenStore(origin, (request) =>
      this.#follow(
        {
          ...request,
          headers: { ...this.#headers(), ...request.headers },
        },
        sameOrigin(request.url, origin),
        request.signal,
      ),
    );
    return this.#tokens;
  }

  /**
   * What to send after a 401: a new token where the old one expired or lacks a scope that the challenge names, or
   * credentials where the ping asked for none. Undefined where trying again could not help.
   */
  async #answerChallenge(
    request: RegistryRequest,
    response: HttpResponse,
    sent: string | undefined,
  ): Promise<string | undefined> {
    const challenges = parseChallenges(response.values('www-authenticate'));
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer && !this.#options.bearerToken) {
      if (sent) await (await this.#tokenStore()).forget(sent.replace(/^Bearer /, ''));
      else this.#learned = challenges;
      const lacking = bearer.parameters.get('error') === 'insufficient_scope';
      const named = lacking || !sent ? parseScopes(bearer.parameters.get('scope') ?? '') : [];
      return this.#authorization(request, [bearer], [...request.scopes, ...named]);
    }
    if (sent !== undefined || challenges.length === 0) return undefined;
    this.#learned = challenges;
    return this.#authorization(request, challenges, request.scopes);
  }

  /** Redirects by hand: what proves who we are stays with the origin that it was meant for. */
  async #follow(request: Outgoing, own: boolean, signal: AbortSignal | undefined): Promise<HttpResponse> {
    let current = request;
    let foreign = !own;
    for (let hops = 0; ; hops += 1) {
      const response = await this.#repeat(current, !foreign, signal);
      const location = REDIRECTS.has(response.status) ? response.header('location') : undefined;
      if (location === undefined || !mayFollow(current, response.status)) return response;
      await discardBody(response);
      if (hops >= MAX_REDIRECTS)
        throw new TransportError(
          'registry',
          `${request.url.host} redirects more than ${MAX_REDIRECTS} times`,
        );
      if (!URL.canParse(location, current.url.href))
        throw new TransportError('registry', `${current.url.host} redirects to a malformed address`);
      const next = new URL(location, current.url);
      checkHop(current.url, next, 'a redirect');
      if (!sameOrigin(current.url, next)) foreign = true;
      next.username = '';
      next.password = '';
      current = { ...current, url: next, headers: foreign ? harmless(current.headers) : current.headers };
    }
  }

  /** Repeats after transient failures, where the body allows it. */
  async #repeat(
    request: Outgoing,
    own: boolean,
    signal: AbortSignal | undefined,
    repeatBroken = true,
  ): Promise<HttpResponse> {
    const { retry } = this.#options;
    const repeatable = !isStream(request.body);
    const http = own ? this.#http : this.#foreign;
    for (let tries = 1; ; tries += 1) {
      try {
        const response = await http.send({ ...request, ...(signal ? { signal } : {}) });
        this.#reportWarnings(response);
        if (!repeatable || !isTransientStatus(response.status) || !mayRetry(retry, tries, response.status))
          return response;
        const delayMs = retryDelay(retry, tries, response.header('retry-after'), Date.now());
        await discardBody(response);
        await pause(delayMs, signal);
      } catch (error) {
        if (!repeatable || !repeatBroken || !isWorthRepeating(error) || !mayRetry(retry, tries)) throw error;
        await pause(retryDelay(retry, tries, undefined, Date.now()), signal);
      }
    }
  }

  #headers(): Record<string, string> {
    return { 'user-agent': this.#options.userAgent, 'docker-distribution-api-version': 'registry/2.0' };
  }

  #reportWarnings(response: HttpResponse): void {
    for (const header of response.values('warning')) {
      const text = parseWarning(header);
      if (text === undefined || this.#warned.has(text) || this.#warned.size > 100) continue;
      this.#warned.add(text);
      this.#options.onWarning?.(`Warning from registry ${response.url.host}: ${text}`);
    }
  }
}

interface Outgoing {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | Readable;
  readonly bodyBytes?: number;
}

/** A redirect of a write keeps method and body only with 307 and 308; other codes would turn it into a read. */
function mayFollow(request: Outgoing, status: number): boolean {
  if (request.method === 'GET' || request.method === 'HEAD') return true;
  return (status === 307 || status === 308) && !isStream(request.body);
}

function harmless(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => HARMLESS_HEADERS.includes(name.toLowerCase())),
  );
}

function isStream(body: Uint8Array | Readable | undefined): body is Readable {
  return body !== undefined && !(body instanceof Uint8Array);
}

/** A refused connection is an answer; waiting a moment seldom changes it, and the whole command can be repeated. */
function isWorthRepeating(error: unknown): boolean {
  return isRetryable(error) && (error as TransportError).facts.code !== 'ECONNREFUSED';
}

function isLoopbackName(host: string): boolean {
  return /^(?:localhost|127\.[0-9.]+|\[::1\])(?::\d+)?$/.test(host);
}

const UNREACHABLE = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

function pingHint(cause: TransportError, insecure: boolean, host: string): string | undefined {
  if (cause.code !== 'network') return undefined;
  if (UNREACHABLE.has(String(cause.facts.code)))
    return `check the name ${host}, and that this machine reaches it`;
  return insecure
    ? `check that a registry listens at ${host}`
    : `for a registry without TLS use --tls-verify=false, or insecure = true in registries.conf`;
}
