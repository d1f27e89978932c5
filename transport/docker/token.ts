import type { Credentials } from '../../config/credential-helper.ts';
import { ImageError } from '../../image/error.ts';
import { type JsonObject, parseJsonObject } from '../../image/json.ts';
import { TransportError } from '../error.ts';
import type { Challenge } from './challenge.ts';
import type { HttpResponse } from './http.ts';
import { checkHop, redactUrl, sameOrigin } from './origin.ts';
import { readBody } from './read-body.ts';
import { registryError } from './registry-error.ts';

/** `repository:library/alpine:pull` in its parts. */
export interface Scope {
  readonly type: string;
  readonly name: string;
  readonly actions: string;
}

/** One request of the token flow; redirects, retries and other origins are the sender's business. */
export type SendTokenRequest = (request: {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal?: AbortSignal;
}) => Promise<HttpResponse>;

export interface TokenRequest {
  readonly challenge: Challenge;
  readonly scopes: readonly Scope[];
  readonly credentials: Credentials | undefined;
  readonly signal?: AbortSignal;
}

interface Entry {
  readonly token: string;
  readonly expiresMs: number;
}

const BODY_LIMIT_BYTES = 1024 * 1024;
const MINIMUM_LIFE_S = 60;
const MAXIMUM_LIFE_S = 86_400;
/** A token is not used in its last moments: the request may take some. */
const MARGIN_S = 5;
const CLIENT_ID = 'slipway';

/**
 * Bearer tokens of one registry, kept for each set of scopes until they expire, and fetched once for all who wait
 * (distribution's docs/spec/auth/token.md and oauth.md).
 */
export class TokenStore {
  readonly #registry: URL;
  readonly #send: SendTokenRequest;
  readonly #now: () => number;
  readonly #entries = new Map<string, Promise<Entry>>();

  /** @param registry the origin whose challenges are answered */
  constructor(registry: URL, send: SendTokenRequest, now: () => number = Date.now) {
    this.#registry = registry;
    this.#send = send;
    this.#now = now;
  }

  /** @throws TransportError `unauthorized`, `insecure-redirect`, `registry`, `network` */
  async get(request: TokenRequest): Promise<string> {
    const key = keyOf(request);
    const known = this.#entries.get(key);
    if (known) {
      const entry = await known.catch(() => undefined);
      if (entry && entry.expiresMs > this.#now()) return entry.token;
      if (this.#entries.get(key) === known) this.#entries.delete(key);
      // Somebody else who waited may already be fetching again.
      const newer = this.#entries.get(key);
      if (newer) return (await newer).token;
    }
    const fetching = this.#fetch(request);
    this.#entries.set(key, fetching);
    try {
      return (await fetching).token;
    } catch (error) {
      if (this.#entries.get(key) === fetching) this.#entries.delete(key);
      throw error;
    }
  }

  /** Forgets a token that the registry no longer takes. */
  async forget(token: string): Promise<void> {
    for (const [key, known] of this.#entries) {
      const entry = await known.catch(() => undefined);
      if (entry?.token === token && this.#entries.get(key) === known) this.#entries.delete(key);
    }
  }

  async #fetch(request: TokenRequest): Promise<Entry> {
    const realm = this.#realm(request.challenge);
    const started = this.#now();
    const response = await this.#send({
      ...(request.credentials?.identityToken
        ? refreshRequest(realm, request, request.credentials.identityToken)
        : plainRequest(realm, request)),
      ...(request.signal ? { signal: request.signal } : {}),
    });
    if (response.status === 401) {
      const error = await registryError(response, 'unable to retrieve auth token: invalid username/password');
      throw new TransportError('unauthorized', error.message, { ...error, cause: error });
    }
    if (response.status !== 200) throw await registryError(response, 'Requesting bearer token');
    const json = parseToken(await readBody(response, BODY_LIMIT_BYTES, 'bearer token'), response.url);
    const token = json.token || json.access_token;
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
      throw new TransportError('registry', `the token server ${redactUrl(response.url)} gave no token`);
    return { token, expiresMs: started + (lifeSeconds(json.expires_in) - MARGIN_S) * 1000 };
  }

  #realm(challenge: Challenge): URL {
    const text = challenge.parameters.get('realm');
    if (text === undefined) throw new TransportError('registry', 'missing realm in bearer auth challenge');
    if (!URL.canParse(text))
      throw new TransportError(
        'registry',
        `invalid realm ${JSON.stringify(text.slice(0, 200))} in bearer auth challenge`,
      );
    const realm = new URL(text);
    checkHop(this.#registry, realm, 'the request for a token');
    if (!sameOrigin(this.#registry, realm)) {
      realm.username = '';
      realm.password = '';
    }
    return realm;
  }
}

/** A clock that differs from the server's must not matter, so its `issued_at` is not read. */
function lifeSeconds(value: unknown): number {
  const seconds = typeof value === 'number' && Number.isFinite(value) ? value : MINIMUM_LIFE_S;
  return Math.min(Math.max(seconds, MINIMUM_LIFE_S), MAXIMUM_LIFE_S);
}

function plainRequest(
  realm: URL,
  { challenge, scopes, credentials }: TokenRequest,
): Parameters<SendTokenRequest>[0] {
  const url = new URL(realm);
  if (credentials?.username) url.searchParams.set('account', credentials.username);
  const service = challenge.parameters.get('service');
  if (service) url.searchParams.set('service', service);
  for (const scope of new Set(scopes.map(formatScope))) url.searchParams.append('scope', scope);
  return {
    method: 'GET',
    url,
    headers: credentials?.username && credentials.password ? { authorization: basicHeader(credentials) } : {},
  };
}

function refreshRequest(
  realm: URL,
  { challenge, scopes }: TokenRequest,
  refreshToken: string,
): Parameters<SendTokenRequest>[0] {
  const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken });
  const service = challenge.parameters.get('service');
  if (service) form.set('service', service);
  if (scopes.length) form.set('scope', scopes.map(formatScope).join(' '));
  form.set('client_id', CLIENT_ID);
  return {
    method: 'POST',
    url: realm,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(form.toString()),
  };
}

export function basicHeader({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

export function formatScope({ type, name, actions }: Scope): string {
  return `${type}:${name}:${actions}`;
}

/** The scopes in a challenge's `scope` parameter; malformed ones are dropped. */
export function parseScopes(text: string): Scope[] {
  return text.split(' ').flatMap((item) => {
    const first = item.indexOf(':');
    const last = item.lastIndexOf(':');
    if (first <= 0 || last <= first + 1 || last === item.length - 1) return [];
    return [{ type: item.slice(0, first), name: item.slice(first + 1, last), actions: item.slice(last + 1) }];
  });
}

function parseToken(bytes: Uint8Array, url: URL): JsonObject {
  try {
    return parseJsonObject(bytes, { what: 'bearer token', limitBytes: BODY_LIMIT_BYTES });
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new TransportError(
      'registry',
      `decoding bearer token (last URL ${JSON.stringify(redactUrl(url))}): ${cause.message}`,
      {
        cause,
      },
    );
  }
}

function keyOf({ challenge, scopes, credentials }: TokenRequest): string {
  const { parameters } = challenge;
  const names = [...new Set(scopes.map(formatScope))].sort();
  const who = credentials ? [credentials.username, credentials.password, credentials.identityToken] : [];
  return JSON.stringify([parameters.get('realm'), parameters.get('service'), names, who]);
}
