import { type JsonObject, parseJsonObject } from '../../image/json.ts';
import { SignError } from '../error.ts';

/** How signing services are reached. Credentials of registries are never sent there. */
export interface ServiceAccess {
  /** The global fetch, or one that goes through a proxy. */
  readonly fetch: typeof globalThis.fetch;
  readonly userAgent?: string;
  readonly signal?: AbortSignal;
}

const LIMIT_BYTES = 4 * 1024 * 1024;
const TIMEOUT_MS = 60_000;

export interface ServiceAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/**
 * One request with a bounded answer; redirects are refused, since they could carry a token elsewhere.
 * @param what `Rekor` or `Fulcio`, for messages
 * @throws SignError `signing` when the service cannot be reached
 */
export async function callService(
  what: string,
  url: URL,
  init: {
    readonly method: 'GET' | 'POST';
    readonly body?: string;
    readonly headers?: Readonly<Record<string, string>>;
  },
  access: ServiceAccess,
): Promise<ServiceAnswer> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await access.fetch(url, {
      ...init,
      redirect: 'error',
      headers: { 'user-agent': access.userAgent ?? 'slipway', ...init.headers },
      signal: access.signal ? AbortSignal.any([access.signal, timeout]) : timeout,
    });
    return { status: response.status, headers: response.headers, body: await readBounded(response, what) };
  } catch (cause) {
    access.signal?.throwIfAborted();
    if (cause instanceof SignError) throw cause;
    throw new SignError('signing', `${what} at ${url.origin} cannot be reached: ${reason(cause)}`, {
      cause,
      retryable: true,
    });
  }
}

/** @throws SignError `signing` for an answer that is not the JSON object it should be */
export function parseAnswer(what: string, answer: ServiceAnswer): JsonObject {
  try {
    return parseJsonObject(answer.body, { what: `answer of ${what}` });
  } catch (cause) {
    throw new SignError('signing', `${what} answered with something else than JSON`, { cause });
  }
}

async function readBounded(response: Response, what: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += (chunk as Uint8Array).length;
    if (size > LIMIT_BYTES) throw new SignError('signing', `answer of ${what} exceeds ${LIMIT_BYTES} bytes`);
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString();
}

function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
