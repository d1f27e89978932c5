import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isIPv6 } from 'node:net';
import { isSystemError } from '../errors.ts';
import { createGuard, type Guard, type RegistryAuth } from './auth.ts';
import { handleBlob, handleUpload, handleUploads } from './blobs.ts';
import { ContentDirectory } from './content.ts';
import { ProtocolError, RegistryError } from './error.ts';
import { answerJson, type Exchange, methodNotAllowed, page, type RegistryState } from './exchange.ts';
import { collectGarbage, type GarbageReport } from './garbage.ts';
import { handleManifest, handleReferrers } from './manifests.ts';
import { Repositories } from './repositories.ts';
import { parseRoute, type Route } from './route.ts';
import { Uploads } from './uploads.ts';

/** Options of {@link startRegistry}. */
export interface RegistryOptions {
  /** Where the content lies; made when missing. */
  readonly directory: string;
  /** Address to listen on; default `127.0.0.1`. */
  readonly host?: string;
  /** Default 0: a free one. */
  readonly port?: number;
  /** PEM texts; absent: plain http. With `clientAuthority`, clients must show a certificate that it signed. */
  readonly tls?: { readonly key: string; readonly certificate: string; readonly clientAuthority?: string };
  /** Absent: anybody may do anything. */
  readonly auth?: RegistryAuth;
  /** Refuse everything that changes content. Default false. */
  readonly readOnly?: boolean;
  /** Sync files before they become visible, so that they survive a power loss. Default true. */
  readonly durable?: boolean;
  /** Sees every request first; resolves to true when it answered itself (fault injection, extensions). */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => Promise<boolean> | boolean;
  /** Called once for each answered request. */
  readonly onRequest?: (entry: RequestLogEntry) => void;
  /** Clock in milliseconds, for token lifetimes and garbage collection; default `Date.now`. */
  readonly now?: () => number;
}

export interface RequestLogEntry {
  readonly method: string;
  /** Path with query. */
  readonly url: string;
  readonly status: number;
}

/** A running registry; disposing it stops it and drops open connections. */
export interface Registry extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** `host:port`, as the first part of a reference. */
  readonly address: string;
  /** `http://host:port` or `https://…`. */
  readonly url: string;
  close(): Promise<void>;
  /** Removes what no repository holds and nothing touched for `ageMs` (default: a day). */
  collectGarbage(options?: { readonly ageMs?: number }): Promise<GarbageReport>;
}

/**
 * Starts an OCI distribution-spec 1.1 registry over a directory: pull, push, content discovery and content management.
 * Several of them, also in different processes, may serve one directory.
 * @throws RegistryError `address-in-use`, `bad-option`, `bad-directory`
 */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const now = options.now ?? Date.now;
  const content = await openContent(options);
  const state: RegistryState = {
    content,
    repositories: new Repositories(content),
    uploads: new Uploads(content),
    readOnly: options.readOnly ?? false,
  };
  let origin = '';
  const guard = options.auth && createGuard(options.auth, () => origin, now);
  const server = createHttpServer(options, (request, response) => {
    void serve(state, guard, options, request, response);
  });
  const { host, port } = await listen(server, options.host ?? '127.0.0.1', options.port ?? 0);
  const address = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  origin = `${options.tls ? 'https' : 'http'}://${address}`;
  const close = () => closeServer(server);
  return {
    host,
    port,
    address,
    url: origin,
    close,
    collectGarbage: ({ ageMs = 86_400_000 } = {}) => collectGarbage(state, { ageMs, now: now() }),
    [Symbol.asyncDispose]: close,
  };
}

async function openContent({ directory, durable }: RegistryOptions): Promise<ContentDirectory> {
  try {
    return await ContentDirectory.open(directory, { durable: durable ?? true });
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new RegistryError('bad-directory', `cannot use ${directory} for the registry: ${cause.message}`, {
      cause,
    });
  }
}

function createHttpServer(
  options: RegistryOptions,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  // Pushes of big blobs over slow lines may take hours: only headers are timed.
  const limits = { requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 65_000 };
  if (!options.tls) return createServer(limits, listener);
  const { key, certificate, clientAuthority } = options.tls;
  const client = clientAuthority ? { ca: clientAuthority, requestCert: true, rejectUnauthorized: true } : {};
  try {
    return createTlsServer({ ...limits, key, cert: certificate, ...client }, listener);
  } catch (cause) {
    throw new RegistryError(
      'bad-option',
      `the TLS key or certificate is unusable: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

function listen(server: Server, host: string, port: number): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new RegistryError(
          cause.code === 'EADDRINUSE' ? 'address-in-use' : 'bad-option',
          `cannot listen on ${host}:${port}: ${cause.message}`,
          { cause },
        ),
      ),
    );
    server.listen(port, host, () => {
      const bound = server.address();
      if (bound === null || typeof bound === 'string') throw new Error('no address after listening');
      resolve({ host: bound.address, port: bound.port });
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function serve(
  state: RegistryState,
  guard: Guard | undefined,
  options: RegistryOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = request.url ?? '/';
  response.once('finish', () => {
    options.onRequest?.({ method: request.method ?? '', url, status: response.statusCode });
  });
  try {
    response.setHeader('docker-distribution-api-version', 'registry/2.0');
    if (await options.intercept?.(request, response)) return;
    const question = url.indexOf('?');
    const query = new URLSearchParams(question < 0 ? '' : url.slice(question + 1));
    const exchange = { request, response, query, state };
    await dispatch(exchange, guard, parseRoute(question < 0 ? url : url.slice(0, question)));
  } catch (error) {
    fail(request, response, error);
  }
}

function fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const protocol =
    error instanceof ProtocolError
      ? error
      : isSystemError(error, 'ENOSPC', 'EDQUOT')
        ? new ProtocolError('UNKNOWN', 'the registry has no space left', { status: 507 })
        : new ProtocolError('UNKNOWN', 'internal error');
  // An unread body would block the connection, and closing it could lose the answer on the way.
  request.resume();
  answerJson({ request, response }, protocol.toJSON(), protocol.headers, protocol.status);
}

const READING = new Set(['GET', 'HEAD']);

async function dispatch(
  exchange: Exchange,
  guard: Guard | undefined,
  route: Route | undefined,
): Promise<void> {
  if (!route) throw new ProtocolError('NAME_UNKNOWN', 'no such end point');
  if (route.kind === 'token') {
    if (!guard) throw new ProtocolError('NAME_UNKNOWN', 'no such end point');
    return guard.issue(exchange);
  }
  guard?.check(exchange, route);
  if (exchange.state.readOnly && !READING.has(exchange.request.method ?? ''))
    throw new ProtocolError('UNSUPPORTED', 'this registry is read-only');
  switch (route.kind) {
    case 'base':
      return answerJson(exchange, {});
    case 'catalog':
      return listCatalog(exchange);
    case 'tags':
      return listTags(exchange, route.repository);
    case 'blob':
      return handleBlob(exchange, route.repository, route.digest);
    case 'uploads':
      return handleUploads(exchange, route.repository);
    case 'upload':
      return handleUpload(exchange, route.repository, route.id);
    case 'manifest':
      return handleManifest(exchange, route.repository, route);
    case 'referrers':
      return handleReferrers(exchange, route.repository, route.digest);
  }
}

async function listCatalog(exchange: Exchange): Promise<void> {
  if (!READING.has(exchange.request.method ?? '')) throw methodNotAllowed('GET');
  const names = await exchange.state.repositories.names();
  const part = page(names, '/v2/_catalog', exchange.query);
  answerJson(exchange, { repositories: part.page }, part.headers);
}

async function listTags(exchange: Exchange, repository: string): Promise<void> {
  if (!READING.has(exchange.request.method ?? '')) throw methodNotAllowed('GET');
  const tags = await exchange.state.repositories.tags(repository);
  if (!tags) throw new ProtocolError('NAME_UNKNOWN', 'repository name not known to registry');
  const part = page(tags, `/v2/${repository}/tags/list`, exchange.query);
  answerJson(exchange, { name: repository, tags: part.page }, part.headers);
}
