import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import type { LayerRecord } from './contract.ts';
import type { Foundation } from './foundation.ts';
import { tarSplitPath } from './layer-removal.ts';

/**
 * The changes of a layer against its parent as a plain tar: the very bytes it was made from where a tar-split tells
 * them, else packed anew.
 * @throws StoreError `unsupported` against a layer that is not the parent
 */
export async function diffOf(
  foundation: Foundation,
  layer: LayerRecord,
  options: { readonly from?: string; readonly signal?: AbortSignal },
): Promise<{ readonly stream: Readable; readonly sizeBytes?: number }> {
  const { driver } = foundation;
  if (options.from !== undefined && options.from !== (layer.parent ?? ''))
    throw new StoreError(
      'unsupported',
      `diff of layer ${layer.id} against ${options.from}, which is not its parent`,
    );
  const tarSplit = readTarSplit(foundation, layer.id);
  if (tarSplit === undefined) {
    const { idMappings } = layer;
    return { stream: await driver.diff(layer.id, layer.parent, { idMappings, signal: options.signal }) };
  }
  const { assembleLayer } = await import('../layer/tar-split.ts');
  const sizeBytes = layer.diffSize !== undefined && layer.diffSize >= 0 ? layer.diffSize : undefined;
  return { stream: assembleLayer(tarSplit, driver.diffDirectory(layer.id)), sizeBytes };
}

function readTarSplit(foundation: Foundation, id: string): Buffer | undefined {
  const lent = foundation.additional.map(({ root }) =>
    join(root, `${foundation.places.driverName}-layers`, `${id}.tar-split.gz`),
  );
  for (const path of [tarSplitPath(foundation, id), ...lent]) {
    try {
      return readFileSync(path);
    } catch (error) {
      if (!isSystemError(error, 'ENOENT')) throw error;
    }
  }
  return undefined;
}
