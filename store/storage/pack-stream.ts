import { PassThrough, type Readable } from 'node:stream';
import type { PackOptions } from '../layer/contract.ts';

/** packLayer as a stream to read from; a failure of packing is the stream's error. */
export async function packStream(root: string, options: PackOptions): Promise<Readable> {
  const { packLayer } = await import('../layer/pack.ts');
  const stream = new PassThrough({ highWaterMark: 1 << 20 });
  const stop = new AbortController();
  stream.once('close', () => stop.abort());
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  packLayer(root, stream, { ...options, signal }).then(
    () => stream.end(),
    (error: Error) => stream.destroy(error),
  );
  return stream;
}
