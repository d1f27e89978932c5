import type { Writable } from 'node:stream';
import { parseDigest } from '../../image/digest.ts';
import type { PackOptions, PackResult } from './contract.ts';
import { runJob, writeTo } from './run-job.ts';
import { TarSplitCompressor } from './tar-split-gzip.ts';

/**
 * Walks `root` in a worker thread and, in one pass, writes the layer changeset to `output` (when given; it is not
 * ended), hashes it and makes its tar-split. The same tree gives the same bytes, those that Buildah would write.
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
  const result = await runJob(
    'pack',
    { root, settings, hasOutput: output !== undefined },
    { output: output && writeTo(output), onText: (text) => split.add(text), signal },
  );
  return { ...result, diffId: parseDigest(`sha256:${result.diffId}`), tarSplit: await split.finish() };
}
