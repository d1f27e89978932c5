import { PassThrough, type Readable } from 'node:stream';
import { runJob, writeTo } from './run-job.ts';

/** A layer on its way to zstd:chunked. */
export interface ZstdChunkedLayer {
  readonly stream: Readable;
  /** What the layer's descriptor must say for clients to use its parts. @throws Error before the stream has ended */
  annotations(): Readonly<Record<string, string>>;
}

/**
 * Compresses a plain layer so that every file, and every chunk of a large one, can be fetched by itself: zstd:chunked
 * as containers/storage writes it, which any zstd decoder reads as the same tar.
 * @param options.level 1 to 22, default 3
 * @throws (as the stream's error) StoreError `bad-layer`, `truncated`, `unsupported` for what is no layer
 */
export function zstdChunked(
  plainTar: Readable,
  options: { readonly level?: number; readonly signal?: AbortSignal } = {},
): ZstdChunkedLayer {
  const stream = new PassThrough({ highWaterMark: 1 << 18 });
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  let annotations: Record<string, string> | undefined;
  stream.once('close', () => stop.abort());
  runJob('chunk', { level: options.level ?? 3 }, { input: plainTar, output: writeTo(stream), signal })
    .then((result) => {
      annotations = result;
      stream.end();
    })
    .catch((error: Error) => stream.destroy(error));
  return {
    stream,
    annotations: () => {
      if (!annotations) throw new Error('the stream has not ended yet');
      return annotations;
    },
  };
}
