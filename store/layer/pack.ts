import { createHash } from 'node:crypto';
import type { Writable } from 'node:stream';
import { parseDigest } from '../../image/digest.ts';
import type { PackOptions, PackResult } from './contract.ts';
import { isSmallTree, packInline } from './inline.ts';
import type { JobMap } from './jobs.ts';
import { type JobStreams, runJob, warmLayerWorker, writeTo } from './run-job.ts';
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
  const onText = (text: Uint8Array<ArrayBuffer>) => split.add(text);
  const args = { root, settings, hasOutput: output !== undefined };
  const write = output && writeTo(output);
  signal?.throwIfAborted();
  if (!isSmallTree(root)) {
    const result = write
      ? await runJob('packHashed', args, { output: write, onText, signal })
      : await packAndHash(args, { onText, signal });
    return finished(result, split);
  }
  const { result, archive } = packInline(args, onText);
  for (const bytes of archive) {
    signal?.throwIfAborted();
    await write?.(bytes);
  }
  return finished(result, split);
}

/** Starts the worker that packing a tree is going to need, if it needs one, before there is time for the tree itself. */
export function warmPacking(root: string): void {
  if (!isSmallTree(root)) warmLayerWorker();
}

/** Nobody wants the archive: this thread hashes it, while the worker reads the next files and makes their checksums. */
async function packAndHash(
  args: JobMap['pack']['args'],
  streams: JobStreams,
): Promise<JobMap['packHashed']['result']> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const view = (bytes: Buffer) => {
    hash.update(bytes);
    sizeBytes += bytes.length;
  };
  const result = await runJob('pack', { ...args, hasOutput: true }, { ...streams, view });
  return { ...result, diffId: hash.digest('hex'), sizeBytes };
}

async function finished(
  result: JobMap['packHashed']['result'],
  split: TarSplitCompressor,
): Promise<PackResult> {
  return { ...result, diffId: parseDigest(`sha256:${result.diffId}`), tarSplit: await split.finish() };
}
