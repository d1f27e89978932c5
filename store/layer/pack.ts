import type { Writable } from 'node:stream';
import { parseDigest } from '../../image/digest.ts';
import type { PackOptions, PackResult } from './contract.ts';
import { packTree } from './pack-blocks.ts';
import { writeTo } from './run-job.ts';
import { TarSplitCompressor } from './tar-split-gzip.ts';

/**
 * Walks `root` and, in one pass, writes the layer changeset to `output` (when given; it is not ended), hashes it and
 * makes its tar-split. The same tree gives the same bytes, those that Buildah would write.
 * @throws StoreError `bad-layer` where a file changes meanwhile or cannot be expressed, `unsupported` where the
 * overlay keeps parts of a file in lower layers, `system`
 */
export async function packLayer(
  root: string,
  output: Writable | undefined,
  options: PackOptions,
): Promise<PackResult> {
  const { signal, ...settings } = options;
  signal?.throwIfAborted();
  const split = new TarSplitCompressor();
  const streams = {
    onText: (text: Buffer<ArrayBuffer>) => split.add(text),
    output: output && writeTo(output),
    signal,
  };
  const { diffId, ...result } = await packTree(root, settings, streams);
  return { ...result, diffId: parseDigest(`sha256:${diffId}`), tarSplit: await split.finish() };
}
