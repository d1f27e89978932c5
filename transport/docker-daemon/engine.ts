import { readFile } from 'node:fs/promises';
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { type RequestOptions, request as requestHttps } from 'node:https';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { ImageError } from '../../image/error.ts';
import { parseJsonObject } from '../../image/json.ts';
import type { DaemonAccess } from '../contract.ts';
import { TransportError } from '../error.ts';

const DEFAULT_HOST = 'unix:///var/run/docker.sock';
const ERROR_LIMIT_BYTES = 1024 * 1024;

/** A request to the Docker engine API under way. */
export interface EngineCall {
  readonly request: ClientRequest;
  /** Settles with the answer's head; fails when the engine cannot be reached. */
  readonly response: Promise<IncomingMessage>;
}

/**
 * Starts a request to the Docker engine: by unix socket, plain for `http://`, with TLS for `tcp://` and `https://`, as
 * containers/image.
 * @throws TransportError `bad-option` for a malformed host
 */
export async function callEngine(
  access: DaemonAccess,
  call: { readonly method: 'GET' | 'POST'; readonly path: string; readonly type?: string },
  signal?: AbortSignal,
): Promise<EngineCall> {
  const host = access.host ?? DEFAULT_HOST;
  const { target, secure } = await targetOf(host, access);
  const options: RequestOptions = {
    ...target,
    method: call.method,
    path: call.path,
    headers: call.type ? { 'content-type': call.type } : {},
    ...(signal ? { signal } : {}),
  };
  const request = secure ? requestHttps(options) : requestHttp(options);
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', (cause) => reject(unreachable(host, cause, signal)));
  });
  response.catch(() => {});
  return { request, response };
}

function unreachable(host: string, cause: Error, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  if (!isSystemError(cause)) return cause;
  return new TransportError('network', `Cannot connect to the Docker daemon at ${host}: ${cause.message}`, {
    cause,
    hint: 'is it running? Another one is chosen with --src-daemon-host or --dest-daemon-host',
    retryable: isSystemError(cause, 'ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT'),
  });
}

async function targetOf(
  host: string,
  access: DaemonAccess,
): Promise<{ readonly target: RequestOptions; readonly secure: boolean }> {
  if (host.startsWith('unix://')) return { target: { socketPath: host.slice(7) }, secure: false };
  const url = URL.canParse(host) ? new URL(host) : undefined;
  if (!url || !['http:', 'https:', 'tcp:'].includes(url.protocol))
    throw new TransportError('bad-option', `unable to parse docker host ${JSON.stringify(host)}`, {
      hint: 'it looks like unix:///var/run/docker.sock or tcp://host:2376',
    });
  const target = { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || 2375 };
  if (url.protocol === 'http:') return { target, secure: false };
  return { target: { ...target, ...(await tlsOptions(access)) }, secure: true };
}

async function tlsOptions(access: DaemonAccess): Promise<RequestOptions> {
  const directory = access.certificateDirectory;
  const verify = access.tlsVerify ?? true;
  if (directory === undefined) return { rejectUnauthorized: verify };
  const { rootCertificates } = await import('node:tls');
  const [cert, key] = await Promise.all(
    ['cert.pem', 'key.pem'].map((name) => readFile(join(directory, name))),
  );
  const ca = verify ? [...rootCertificates, await readFile(join(directory, 'ca.pem'), 'utf8')] : undefined;
  return { rejectUnauthorized: verify, cert, key, ...(ca ? { ca } : {}) };
}

/** Throws what the engine says unless it answered 200. @throws TransportError `not-found`, `registry` */
export async function requireSuccess(response: IncomingMessage, doing: string): Promise<void> {
  if (response.statusCode === 200) return;
  const text = await readText(response, ERROR_LIMIT_BYTES);
  const message = messageOf(text) ?? `the engine answered ${response.statusCode}`;
  throw new TransportError(
    response.statusCode === 404 ? 'not-found' : 'registry',
    `${doing}: ${message.replace(/[^\x20-\x7e]/g, '?')}`,
    { facts: { status: response.statusCode }, retryable: (response.statusCode ?? 0) >= 500 },
  );
}

async function readText(response: IncomingMessage, limitBytes: number): Promise<string> {
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    text += chunk;
    if (text.length > limitBytes) break;
  }
  return text.slice(0, limitBytes);
}

function messageOf(text: string): string | undefined {
  try {
    const { message } = parseJsonObject(text, { what: 'error message' });
    return typeof message === 'string' ? message : undefined;
  } catch (error) {
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}
