import type { Writable } from 'node:stream';
import { parseDigest } from '../../image/digest.ts';
import type { PackOptions, PackResult } from './contract.ts';
import { hashTree } from './hash-tree.ts';
import { isSmallTree, packInline } from './inline.ts';
import type { JobMap } from './jobs.ts';
import { runJob, writeTo } from './run-job.ts';
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
  const split = new TarSplitCompressor();
  const onText = (text: Uint8Array<ArrayBuffer>) => split.add(text);
  const args = { root, settings, hasOutput: output !== undefined };
  const write = output && writeTo(output);
  signal?.throwIfAborted();
  if (!isSmallTree(root)) {
    const result = write
      ? await runJob('packHashed', args, { output: write, onText, signal })
      : await hashTree(args, onText, signal);
    return finished(result, split);
  }
  const { result, archive } = packInline(args, onText);
  for (const bytes of archive) {
    signal?.throwIfAborted();
    await write?.(bytes);
  }
  return finished(result, split);
}

async function finished(
  result: JobMap['packHashed']['result'],
  split: TarSplitCompressor,
): Promise<PackResult> {
  return { ...result, diffId: parseDigest(`sha256:${result.diffId}`), tarSplit: await split.finish() };
}
