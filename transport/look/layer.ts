import { finished } from 'node:stream/promises';
import type { ReadEntry } from 'tar';
import type { Descriptor } from '../../image/descriptor.ts';
import { detectAndDecompress } from '../../store/blob/compression.ts';
import { expectedOf, verified } from '../../store/blob/verify.ts';
import { StoreError } from '../../store/error.ts';
import type { ImageSource } from '../contract.ts';
import { TransportError } from '../error.ts';

/** What a layer says about one path; paths have neither a leading nor a trailing slash. */
export interface LayerEntry {
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'device' | 'fifo' | 'whiteout' | 'opaque';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number;
  readonly target?: string;
}

/** Called for each entry until it answers `stop`; taking the content means reading `content` to its end before the promise resolves. */
export type OnLayerEntry = (
  entry: LayerEntry,
  content: ReadEntry,
) => Promise<'stop' | undefined> | 'stop' | undefined;

const KINDS: Readonly<Record<string, LayerEntry['kind']>> = {
  File: 'file',
  OldFile: 'file',
  ContiguousFile: 'file',
  Link: 'hardlink',
  SymbolicLink: 'symlink',
  CharacterDevice: 'device',
  BlockDevice: 'device',
  Directory: 'directory',
  FIFO: 'fifo',
};

/**
 * Streams a layer of an open source through its decompression, entry by entry, checking all bytes: behind a `stop` they
 * are still read, since only the end tells whether those before were right.
 * @throws StoreError `bad-layer`, `digest-mismatch`, `truncated`, `too-large`; TransportError `unsupported` for an
 * encrypted layer
 */
export async function readLayer(
  source: ImageSource,
  descriptor: Descriptor,
  onEntry: OnLayerEntry,
  signal?: AbortSignal,
): Promise<void> {
  if (descriptor.mediaType.endsWith('+encrypted'))
    throw new TransportError('unsupported', `layer ${descriptor.digest} is encrypted`, {
      hint: 'copy the image with --decryption-key first, and look into the copy',
    });
  const { Parser } = await import('tar');
  const blob = await source.getBlob(descriptor, { signal });
  const meter = verified(blob.stream, expectedOf(descriptor, `layer ${descriptor.digest}`));
  const { stream: plain } = await detectAndDecompress(meter);
  const parser = new Parser({ strict: true, maxDecompressionRatio: Number.POSITIVE_INFINITY });
  let stopped = false;
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  parser.on('error', (cause: unknown) =>
    failed.reject(
      new StoreError('bad-layer', `layer ${descriptor.digest} is not a valid archive`, { cause }),
    ),
  );
  parser.on('entry', (read: ReadEntry) => {
    void Promise.resolve(stopped ? undefined : onEntry(toEntry(read), read)).then((answer) => {
      if (answer === 'stop') stopped = true;
      read.resume();
    }, failed.reject);
  });
  try {
    for await (const chunk of plain as AsyncIterable<Buffer>) {
      if (!stopped && !parser.write(chunk))
        await Promise.race([new Promise((resolve) => parser.once('drain', resolve)), failed.promise]);
    }
    await finished(meter.resume(), { writable: false });
    if (stopped) return;
    const ended = new Promise((resolve) => parser.once('end', resolve));
    parser.end();
    await Promise.race([ended, failed.promise]);
  } finally {
    plain.destroy();
    blob.stream.destroy();
  }
}

function toEntry(read: ReadEntry): LayerEntry {
  const path = normalizePath(String(read.path));
  const slash = path.lastIndexOf('/') + 1;
  const name = path.slice(slash);
  const common = {
    mode: read.mode ?? 0,
    uid: read.uid ?? 0,
    gid: read.gid ?? 0,
    sizeBytes: read.size,
    modifiedMs: read.mtime?.getTime() ?? 0,
  };
  if (name === '.wh..wh..opq')
    return { ...common, path: path.slice(0, Math.max(slash - 1, 0)), kind: 'opaque' };
  if (name.startsWith('.wh.'))
    return { ...common, path: path.slice(0, slash) + name.slice(4), kind: 'whiteout' };
  const kind = KINDS[read.type] ?? 'file';
  return { ...common, path, kind, ...(read.linkpath ? { target: String(read.linkpath) } : {}) };
}

/** `./a//b/` is `a/b`; `..` never leads above the root. */
export function normalizePath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}
