import { finishDigest, startDigest } from '../../image/digest.ts';
import type { Store } from '../../store/storage/contract.ts';
import { compress } from '../../transport/compress.ts';
import type { CommittedLayer } from './image-documents.ts';

/** The layers above the base image's, with digest and size of what they are when compressed. */
export async function withCompressedBlobs(
  store: Store,
  layers: readonly CommittedLayer[],
  baseTopLayer: string,
): Promise<CommittedLayer[]> {
  const base = layers.findIndex((layer) => layer.id === baseTopLayer);
  const described: CommittedLayer[] = [];
  for (const [index, layer] of layers.entries())
    described.push(index <= base ? layer : { ...layer, gzip: await gzipOf(store, layer.id) });
  return described;
}

async function gzipOf(store: Store, layerId: string): Promise<NonNullable<CommittedLayer['gzip']>> {
  const { stream } = await store.layers.diff(layerId);
  const hash = startDigest();
  let sizeBytes = 0;
  for await (const chunk of compress(stream, { format: 'gzip' }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { digest: finishDigest(hash), sizeBytes };
}
