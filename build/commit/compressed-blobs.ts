import { finishDigest, startDigest } from '../../image/digest.ts';
import type { Store } from '../../store/storage/contract.ts';
import type { BlobDirectory } from '../../transport/blob-directory/directory.ts';
import { compress } from '../../transport/compress.ts';
import type { CommittedLayer } from './image-documents.ts';

/**
 * The layers above the base image's, with digest and size of what they are when compressed. A directory of blobs gets
 * these, and tells what the base image's layers were.
 */
export async function withCompressedBlobs(
  store: Store,
  layers: readonly CommittedLayer[],
  baseTopLayer: string,
  blobs?: BlobDirectory,
): Promise<CommittedLayer[]> {
  const base = layers.findIndex((layer) => layer.id === baseTopLayer);
  const described: CommittedLayer[] = [];
  for (const [index, layer] of layers.entries()) {
    const gzip =
      (await keptGzip(layer, blobs)) ?? (index <= base ? undefined : await gzipOf(store, layer.id, blobs));
    described.push(gzip ? { ...layer, gzip } : layer);
  }
  return described;
}

/** Keeps new layers plain, as they stand in a manifest without compression. */
export async function keepPlainBlobs(
  store: Store,
  layers: readonly CommittedLayer[],
  baseTopLayer: string,
  blobs: BlobDirectory,
): Promise<void> {
  const base = layers.findIndex((layer) => layer.id === baseTopLayer);
  for (const { id, diffId, sizeBytes } of layers.slice(base + 1)) {
    if (await blobs.find(diffId)) continue;
    const blob = await store.layers.diff(id);
    await blobs.put(blob, { digest: diffId, size: sizeBytes }, { isConfig: false });
  }
}

async function keptGzip(
  { diffId }: CommittedLayer,
  blobs: BlobDirectory | undefined,
): Promise<CommittedLayer['gzip']> {
  const forms = (await blobs?.compressedForms(diffId)) ?? [];
  const found = forms.find(({ compression }) => compression === 'gzip')?.blob;
  return found && { digest: found.digest, sizeBytes: found.sizeBytes };
}

async function gzipOf(
  store: Store,
  layerId: string,
  blobs: BlobDirectory | undefined,
): Promise<NonNullable<CommittedLayer['gzip']>> {
  const { stream } = await store.layers.diff(layerId);
  if (blobs) return blobs.put({ stream: compress(stream, { format: 'gzip' }) }, {}, { isConfig: false });
  const hash = startDigest();
  let sizeBytes = 0;
  for await (const chunk of compress(stream, { format: 'gzip' }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { digest: finishDigest(hash), sizeBytes };
}
