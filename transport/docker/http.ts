import type { Agent as HttpAgent, IncomingMessage } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import type { Readable } from 'node:stream';
import { TransportError } from '../error.ts';
import { redactUrl } from './origin.ts';
import { proxyFor, proxyRefusal, tunnelStatus } from './proxy.ts';
import { sendBody } from './send-body.ts';
import { StallWatch } from './stall.ts';
import type { TlsSettings } from './tls.ts';

// The HTTP client: node:http and node:https, since their import takes 12 ms where got's takes 105 ms even bundled,
// and a whole inspect has 60. Retries, redirects and credentials are decided above, by hand.
//
// The modules are not imported but asked for: an import of node:http reads all its exports, also the lazy WebSocket,
// which loads undici for half of the time that a small command takes.
const http = () => process.getBuiltinModule('node:http');
const https = () => process.getBuiltinModule('node:https');

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is read once, so that its request cannot be repeated. */
  readonly body?: Uint8Array | Readable;
  /** Bytes of a stream; absent: sent chunked. */
  readonly bodyBytes?: number;
  readonly signal?: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  /** Every value of a header; empty where it is not there. */
  readonly values: (name: string) => readonly string[];
  readonly header: (name: string) => string | undefined;
  readonly url: URL;
  /** Must be read to its end or destroyed. Fails with `timeout` when the server stalls. */
  readonly body: IncomingMessage;
}

export interface HttpOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly tls: TlsSettings;
  /** Milliseconds without progress. */
  readonly stallTimeoutMs: number;
  /** Connections to one host for reading, and as many for writing; default 16. */
  readonly connectionsPerHost?: number;
}

const CONNECT_TIMEOUT_MS = 30_000;
const MAX_HEADER_BYTES = 64 * 1024;
/** A registry may take long to assemble what was uploaded. */
const COMMIT_FACTOR = 10;

/**
 * Sends requests over kept connections. Reads and writes have separate pools: a copy inside one registry holds a read
 * open while it waits for a write.
 */
export class HttpClient {
  readonly #options: HttpOptions;
  readonly #agents = new Map<string, Promise<HttpAgent | HttpsAgent>>();

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  /**
   * One request, one answer: no retry, no redirect, no credentials of its own.
   * @throws TransportError `network`, `timeout`; the abort reason
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    request.signal?.throwIfAborted();
    const proxy = proxyFor(request.url, this.#options.environment);
    const agent = await this.#agent(request, proxy);
    const start = request.url.protocol === 'https:' ? https().request : http().request;
    return new Promise((resolve, reject) => {
      const outgoing = start(request.url, {
        method: request.method,
        agent,
        headers: headersOf(request),
        maxHeaderSize: MAX_HEADER_BYTES,
      });
      let stopSending = () => {};
      const writing = request.body !== undefined;
      const watch = new StallWatch(outgoing, request.body, {
        stallTimeoutMs: this.#options.stallTimeoutMs,
        answerTimeoutMs: this.#options.stallTimeoutMs * (writing ? COMMIT_FACTOR : 1),
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
      });
      outgoing.once('error', (cause) => reject(networkError(request, cause, watch, proxy)));
      outgoing.once('response', (message) => {
        watch.watchAnswer(message);
        if (proxy && message.statusCode === 407) {
          reject(proxyRefusal(describe(request), proxy, 407));
          outgoing.destroy();
          return;
        }
        endUnfinished(stopSending, outgoing, message);
        resolve(responseOf(request, message, watch));
      });
      // The request's own option takes more time, and forgets requests that wait for a connection.
      const { signal } = request;
      const abort = () => {
        reject(signal?.reason);
        outgoing.destroy();
      };
      signal?.addEventListener('abort', abort);
      outgoing.once('close', () => {
        watch.stop();
        signal?.removeEventListener('abort', abort);
      });
      if (isStream(request.body)) {
        request.body.once('error', (error) => {
          reject(error);
          outgoing.destroy(error);
        });
        stopSending = sendBody(request.body, outgoing);
      } else outgoing.end(request.body);
    });
  }

  #agent(request: HttpRequest, proxy: URL | undefined): Promise<HttpAgent | HttpsAgent> {
    const kind = request.method === 'GET' || request.method === 'HEAD' ? 'read' : 'write';
    const key = `${kind} ${request.url.protocol} ${proxy?.href ?? ''}`;
    let agent = this.#agents.get(key);
    if (!agent) {
      agent = this.#createAgent(request.url.protocol, proxy);
      this.#agents.set(key, agent);
    }
    return agent;
  }

  async #createAgent(protocol: string, proxy: URL | undefined): Promise<HttpAgent | HttpsAgent> {
    const { tls, environment, connectionsPerHost = 16 } = this.#options;
    const common = {
      keepAlive: true,
      maxSockets: connectionsPerHost,
      maxFreeSockets: connectionsPerHost,
      scheduling: 'lifo' as const,
      timeout: 0,
    };
    if (proxy) requireProxySupport();
    const proxyEnv = proxy && { HTTP_PROXY: proxy.href, HTTPS_PROXY: proxy.href };
    if (protocol === 'http:') return new (http().Agent)({ ...common, ...(proxyEnv ? { proxyEnv } : {}) });
    const { secureContext } = await import('./tls.ts');
    return new (https().Agent)({
      ...common,
      ...(proxyEnv ? { proxyEnv } : {}),
      secureContext: await secureContext(tls, environment),
      rejectUnauthorized: !tls.insecure,
    });
  }
}

/** Node before 24.5 would go past the proxy without a word. */
function requireProxySupport(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 24 || (major === 24 && minor >= 5)) return;
  throw new TransportError('unsupported', `Node.js ${process.versions.node} cannot use a proxy`, {
    hint: 'use Node.js 24.5 or newer, or take HTTPS_PROXY and HTTP_PROXY out of the environment',
  });
}

function headersOf({ headers, body, bodyBytes, method }: HttpRequest): Record<string, string> {
  if (body === undefined)
    return method === 'GET' || method === 'HEAD' ? { ...headers } : { ...headers, 'content-length': '0' };
  const length = isStream(body) ? bodyBytes : body.length;
  return length === undefined
    ? { ...headers, 'transfer-encoding': 'chunked' }
    : { ...headers, 'content-length': String(length) };
}

function isStream(body: Uint8Array | Readable | undefined): body is Readable {
  return body !== undefined && !(body instanceof Uint8Array);
}

/** The answer came before the body was sent: nobody wants the rest, and the connection cannot be used again. */
function endUnfinished(
  stopSending: () => void,
  outgoing: { readonly writableFinished: boolean; destroy(): unknown },
  message: IncomingMessage,
): void {
  if (outgoing.writableFinished || (message.statusCode ?? 0) < 300) return;
  stopSending();
  message.once('close', () => outgoing.destroy());
}

function responseOf(request: HttpRequest, message: IncomingMessage, watch: StallWatch): HttpResponse {
  // Without this a failing body would be an uncaught error when nobody reads it any more.
  message.on('error', () => undefined);
  const destroy = message._destroy.bind(message);
  message._destroy = (error, callback) => destroy(error && networkError(request, error, watch), callback);
  const values = (name: string) => message.headersDistinct[name.toLowerCase()] ?? [];
  return {
    status: message.statusCode ?? 0,
    values,
    header: (name) => values(name)[0],
    url: request.url,
    body: message,
  };
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection closed',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name cannot be resolved now',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
  HPE_HEADER_OVERFLOW: `the answer's headers exceed ${MAX_HEADER_BYTES} bytes`,
  EPROTO: 'no TLS server answers there',
  ERR_SSL_WRONG_VERSION_NUMBER: 'no TLS server answers there',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'no TLS server answers there',
};
const LASTING = new Set(['ENOTFOUND', 'HPE_HEADER_OVERFLOW', 'EPROTO']);
const NO_CONNECTION = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);
const CERTIFICATE =
  /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_CERT|HOSTNAME_MISMATCH|INVALID_CA|CRL_)/;

/** What a server says before it hangs up. */
const ALERT = /^ERR_SSL_(?:SSLV3|TLSV1[0-9]*)_ALERT_([A-Z_]+)$/;

/** Told in the words that scripts look for. */
const UNTRUSTED =
  /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/;

function describe({ method, url }: HttpRequest): string {
  return `${method} ${redactUrl(url)}`;
}

/** Abort reasons and our own errors pass through. */
function networkError(request: HttpRequest, cause: Error, watch: StallWatch, proxy?: URL): Error {
  if (request.signal?.aborted) return request.signal.reason as Error;
  if (cause instanceof TransportError) return cause;
  const what = describe(request);
  const refused = proxy && tunnelStatus(cause);
  if (refused !== undefined) return proxyRefusal(what, proxy as URL, refused);
  if (watch.reason)
    return new TransportError('timeout', `${what}: ${watch.reason}`, { cause, retryable: true });
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  if (CERTIFICATE.test(code))
    return new TransportError(
      'network',
      `${what}: tls: failed to verify certificate: ${UNTRUSTED.test(code) ? 'x509: certificate signed by unknown authority' : cause.message}`,
      {
        cause,
        facts: { code },
        hint: 'add its authority to certs.d, or use --tls-verify=false where that risk is acceptable',
      },
    );
  const [, alert] = ALERT.exec(code) ?? [];
  if (alert !== undefined)
    return new TransportError(
      'network',
      `${what}: remote error: tls: ${alert.toLowerCase().replaceAll('_', ' ')}`,
      {
        cause,
        facts: { code },
        hint: 'a client certificate belongs into the directory of --cert-dir, or into certs.d',
      },
    );
  const ssl = code.startsWith('ERR_SSL_');
  // With a proxy nobody else is connected to.
  const peer = proxy && NO_CONNECTION.has(code) ? `the proxy ${proxy.origin}: ` : '';
  return new TransportError('network', `${what}: ${peer}${REASONS[code] ?? cause.message}`, {
    cause,
    facts: { code },
    retryable: !ssl && !LASTING.has(code),
  });
}
