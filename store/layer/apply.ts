import type { Readable } from 'node:stream';
import { parseDigest } from '../../image/digest.ts';
import type { ApplyOptions, ApplyResult } from './contract.ts';
import { runJob } from './run-job.ts';
import { TarSplitCompressor } from './tar-split-gzip.ts';
import { INLINE_BYTES, unpackInline } from './unpack-inline.ts';

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
  const onText = (text: Uint8Array<ArrayBuffer>) => split.add(text);
  const ahead = await readAhead(plainTar, signal);
  const args = { root, settings };
  const result = ahead.isWhole
    ? unpackInline(args, Buffer.concat(ahead.chunks), onText)
    : await runJob('apply', args, { input: plainTar, ahead: ahead.chunks, onText, signal });
  const { replaced, ...counts } = result;
  const tarSplit = await split.finish(replaced);
  return { ...counts, diffId: parseDigest(`sha256:${result.diffId}`), tarSplit };
}

/** The start of a stream, or all of it where it is short. */
async function readAhead(
  source: Readable,
  signal: AbortSignal | undefined,
): Promise<{ readonly chunks: Buffer[]; readonly isWhole: boolean }> {
  const stop = () => source.destroy(signal?.reason as Error);
  signal?.throwIfAborted();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const iterator = source.iterator({ destroyOnReturn: false });
    const chunks: Buffer[] = [];
    for (let length = 0; length <= INLINE_BYTES; ) {
      const next = (await iterator.next()) as IteratorResult<Buffer | string>;
      if (next.done) return { chunks, isWhole: true };
      const bytes = typeof next.value === 'string' ? Buffer.from(next.value) : next.value;
      chunks.push(bytes);
      length += bytes.length;
    }
    await iterator.return?.();
    return { chunks, isWhole: false };
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
