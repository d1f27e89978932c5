import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ContentDirectory } from './content.ts';
import { ProtocolError } from './error.ts';
import type { Repositories } from './repositories.ts';
import type { Uploads } from './uploads.ts';

/** The state behind all handlers. */
export interface RegistryState {
  readonly content: ContentDirectory;
  readonly repositories: Repositories;
  readonly uploads: Uploads;
  readonly readOnly: boolean;
}

/** One request with its answer. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly state: RegistryState;
}

/** Answers without a body. */
export function answer(
  { response }: Pick<Exchange, 'response'>,
  status: number,
  headers: Readonly<Record<string, string | string[]>> = {},
): void {
  response.writeHead(status, { 'content-length': '0', ...headers }).end();
}

/** Answers with a document; HEAD gets its headers alone. */
export function answerBytes(
  { request, response }: Pick<Exchange, 'request' | 'response'>,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>>,
  status = 200,
): void {
  response.writeHead(status, { ...headers, 'content-length': String(bytes.length) });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

export function answerJson(
  exchange: Pick<Exchange, 'request' | 'response'>,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
  status = 200,
): void {
  const bytes = Buffer.from(JSON.stringify(value));
  answerBytes(exchange, bytes, { 'content-type': 'application/json', ...headers }, status);
}

/** Reads a whole request body of at most `limitBytes`. */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limitBytes)
      throw new ProtocolError('SIZE_INVALID', `the body exceeds ${limitBytes} bytes`, { status: 413 });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export function methodNotAllowed(allow: string): ProtocolError {
  return new ProtocolError('UNSUPPORTED', 'the operation is unsupported', { headers: { allow } });
}

/**
 * One page of a sorted list by the parameters `n` and `last` (distribution-spec 1.1, "Listing tags").
 * @returns the page and, where there is more, the Link header of the next one
 */
export function page(
  names: readonly string[],
  path: string,
  query: URLSearchParams,
): { readonly page: readonly string[]; readonly headers: Readonly<Record<string, string>> } {
  const last = query.get('last');
  const rest = last === null ? names : names.filter((name) => name > last);
  const text = query.get('n');
  if (text === null) return { page: rest, headers: {} };
  if (!/^\d{1,9}$/.test(text)) throw new ProtocolError('UNSUPPORTED', 'n is not a number', { status: 400 });
  const limit = Number(text);
  const part = rest.slice(0, limit);
  const end = part.at(-1);
  if (end === undefined || part.length === rest.length) return { page: part, headers: {} };
  const next = new URLSearchParams({ n: text, last: end });
  return { page: part, headers: { link: `<${path}?${next}>; rel="next"` } };
}
