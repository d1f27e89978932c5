import { pipeline, type Readable, Transform } from 'node:stream';
import { StoreError } from '../error.ts';

/**
 * The same bytes, and an error once there are more than `limitBytes`.
 * @param what names the stream in the message, such as `manifest of example.com/a:b`
 */
export function limited(source: Readable, limitBytes: number, what: string): Readable {
  let length = 0;
  const limit = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      length += chunk.length;
      if (length > limitBytes) done(tooLarge(what, limitBytes));
      else done(null, chunk);
    },
  });
  return joined(source, limit);
}

/**
 * All the bytes of a stream that is expected to be short.
 * @throws StoreError `too-large`; the stream is destroyed then
 */
export async function readAll(source: Readable, limitBytes: number, what: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of source) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer);
    length += bytes.length;
    if (length > limitBytes) throw tooLarge(what, limitBytes);
    parts.push(bytes);
  }
  return Buffer.concat(parts, length);
}

/** Connects streams so that the failure or early end of one ends them all. Gives the last. */
export function joined<Last extends Transform>(source: Readable, ...rest: [...Transform[], Last]): Last {
  const last = rest.at(-1) as Last;
  // The error reaches the reader through the last stream, which pipeline destroys with it.
  pipeline([source, ...rest], () => {});
  return last;
}

function tooLarge(what: string, limitBytes: number): StoreError {
  return new StoreError('too-large', `${what} is larger than the limit of ${limitBytes} bytes`, {
    facts: { limitBytes },
  });
}
