import { createReadStream, statSync } from 'node:fs';
import { PassThrough, type Readable } from 'node:stream';
import type { PackOptions } from '../../store/layer/contract.ts';
import { packingOwners } from '../../store/layer/owner-override.ts';
import { packLayer } from '../../store/layer/pack.ts';
import type { LayerTimestamp } from './layers.ts';

/**
 * A plain layer stream of a directory tree, or of a file that is one already. Destroying it stops the work.
 * `idMappings` are those of the container whose tree it is: its own ids go into the layer.
 */
export function layerTar(
  path: string,
  timestamp: LayerTimestamp,
  options: Pick<PackOptions, 'idMappings' | 'windows' | 'signal'> = {},
): Readable {
  if (!statSync(path).isDirectory()) return createReadStream(path, { highWaterMark: 1 << 20 });
  const output = new PassThrough({ highWaterMark: 1 << 20 });
  packLayer(path, output, { whiteouts: 'none', timestamp, ...packingOwners(), ...options }).then(
    () => output.end(),
    (error: unknown) => output.destroy(error as Error),
  );
  return output;
}
