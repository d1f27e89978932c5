import type { Readable } from 'node:stream';
import { parseDigest } from '../../image/digest.ts';
import type { ApplyOptions, ApplyResult } from './contract.ts';
import { runJob } from './run-job.ts';
import { TarSplitCompressor } from './tar-split-gzip.ts';

/**
 * Unpacks a plain tar stream below `root`, an existing directory, in a worker thread: one pass that writes the files,
 * hashes the whole stream and keeps its tar-split. No entry reaches outside of the root, whatever its name or links.
 * A failure leaves the tree half-written; the caller discards it.
 * @throws StoreError `bad-layer`, `unsafe-path`, `truncated`, `too-large`, `unsupported`, `system`
 */
export async function applyLayer(
  root: string,
  plainTar: Readable,
  options: ApplyOptions,
): Promise<ApplyResult> {
  const { signal, ...settings } = options;
  const split = new TarSplitCompressor();
  const result = await runJob(
    'apply',
    { root, settings },
    { input: plainTar, onText: (text) => split.add(text), signal },
  );
  return { ...result, diffId: parseDigest(`sha256:${result.diffId}`), tarSplit: await split.finish() };
}
