import { TransportError } from '../error.ts';
import type { HttpResponse } from './http.ts';
import { redactUrl } from './origin.ts';

/**
 * Reads a whole answer, at most `limitBytes`.
 * @throws TransportError `registry` for a longer one, `network`, `timeout`
 */
export async function readBody(response: HttpResponse, limitBytes: number, what: string): Promise<Buffer> {
  const tooLong = () => {
    response.body.destroy();
    return new TransportError(
      'registry',
      `${what} from ${redactUrl(response.url)} exceeded maximum allowed size of ${limitBytes} bytes`,
    );
  };
  if (Number(response.header('content-length') ?? 0) > limitBytes) throw tooLong();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limitBytes) throw tooLong();
    chunks.push(chunk);
  }
  if (!response.body.complete)
    throw new TransportError('network', `${what} from ${redactUrl(response.url)} ended too early`, {
      retryable: true,
    });
  return Buffer.concat(chunks, size);
}

/** Frees the connection of an answer whose body nobody wants, so that the next request can have it. */
export async function discardBody(response: HttpResponse): Promise<void> {
  const { body } = response;
  const sizeBytes = Number(response.header('content-length') ?? Number.POSITIVE_INFINITY);
  if (!body.complete && sizeBytes > 65_536) {
    body.destroy();
    return;
  }
  try {
    for await (const _ of body);
  } catch {
    // The answer's status was all that counted.
  }
}
