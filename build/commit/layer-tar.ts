import { createReadStream, statSync } from 'node:fs';
import { PassThrough, type Readable } from 'node:stream';
import { packLayer } from '../../store/layer/pack.ts';
import type { LayerTimestamp } from './layers.ts';

/** A plain layer stream of a directory tree, or of a file that is one already. Destroying it stops the work. */
export function layerTar(path: string, timestamp: LayerTimestamp, signal?: AbortSignal): Readable {
  if (!statSync(path).isDirectory()) return createReadStream(path, { highWaterMark: 1 << 20 });
  const output = new PassThrough({ highWaterMark: 1 << 20 });
  packLayer(path, output, { whiteouts: 'none', timestamp, signal }).then(
    () => output.end(),
    (error: unknown) => output.destroy(error as Error),
  );
  return output;
}
