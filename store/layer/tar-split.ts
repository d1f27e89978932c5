import { createReadStream } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { StoreError } from '../error.ts';
import { runJob, writeTo } from './run-job.ts';

/**
 * The exact tar stream that a tar-split describes, with file contents from `root`; ours and those that Podman wrote.
 * Checksums of contents are checked: a file that changed since ends the stream with StoreError `bad-layer`.
 * @param tarSplitGz the compressed data, or the path of a file with it
 */
export function assembleLayer(tarSplitGz: Uint8Array | string, root: string): Readable {
  const source = typeof tarSplitGz === 'string' ? createReadStream(tarSplitGz) : Readable.from([tarSplitGz]);
  const text = source.pipe(createGunzip());
  source.on('error', (error: Error) => text.destroy(error));
  const controller = new AbortController();
  const output = new PassThrough({ readableHighWaterMark: 1 << 18, writableHighWaterMark: 1 << 18 });
  output.once('close', () => controller.abort());
  runJob('assemble', { root }, { input: text, output: writeTo(output), signal: controller.signal })
    .then(() => output.end())
    .catch((error: unknown) => output.destroy(asLayerError(error)));
  return output;
}

function asLayerError(error: unknown): Error {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (!/^(?:Z_|ERR_BUFFER)/.test(code)) return error as Error;
  return new StoreError('bad-layer', 'the tar-split data of the layer is damaged', { cause: error });
}
