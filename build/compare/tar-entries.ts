import { createHash } from 'node:crypto';
import { closeSync, createWriteStream, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TarEntry } from '../../store/layer/tar-entry.ts';
import { TAR_TYPE } from '../../store/layer/tar-entry.ts';
import { TarReader } from '../../store/layer/tar-reader.ts';
import { BuildError } from '../error.ts';

/** What a layer's archive says of one path. */
export interface LayerEntry {
  readonly path: string;
  readonly type: string;
  readonly mode: number;
  readonly owner: string;
  readonly modifiedNs: bigint;
  readonly sizeBytes: number;
  readonly target: string;
  readonly device: string;
  /** Extended attributes and whatever else the headers hold. */
  readonly more: string;
  /** Digest of the content; empty for what has none. */
  readonly digest: string;
}

const ENTRIES_LIMIT = 2_000_000;
const CHUNK_BYTES = 1 << 18;

/** Reads the entries of a plain layer stream, in order. @param scratch an existing directory for a copy of the stream */
export async function readEntries(
  stream: Readable,
  scratch: string,
  signal: AbortSignal | undefined,
): Promise<LayerEntry[]> {
  const path = join(scratch, 'layer.tar');
  await pipeline(stream, createWriteStream(path), { signal });
  const fd = openSync(path, 'r');
  try {
    const reader = new TarReader(fileSource(fd));
    const entries: LayerEntry[] = [];
    for (let entry = reader.next(); entry; entry = reader.next()) {
      if (entries.length >= ENTRIES_LIMIT)
        throw new BuildError('unsupported', `a layer has more than ${ENTRIES_LIMIT} entries`);
      entries.push(describe(entry, reader));
    }
    return entries;
  } finally {
    closeSync(fd);
  }
}

function describe(entry: TarEntry, reader: TarReader): LayerEntry {
  const text = (latin1: string) => Buffer.from(latin1, 'latin1').toString('utf8');
  return {
    path: `/${text(entry.name).replace(/^\.?\/+/, '')}`,
    type: TYPE_NAMES[entry.type] ?? entry.type,
    mode: entry.mode,
    owner: `${entry.uid}:${entry.gid}`,
    modifiedNs: entry.modifiedNs,
    sizeBytes: entry.sizeBytes,
    target: text(entry.linkName),
    device: `${entry.deviceMajor}:${entry.deviceMinor}`,
    more: [...entry.pax]
      .map(([key, value]) => `${key}=${value}`)
      .sort()
      .join('\0'),
    digest: entry.type === TAR_TYPE.file ? contentDigest(reader) : '',
  };
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  [TAR_TYPE.file]: 'file',
  [TAR_TYPE.hardLink]: 'hard link',
  [TAR_TYPE.symlink]: 'symbolic link',
  [TAR_TYPE.character]: 'character device',
  [TAR_TYPE.block]: 'block device',
  [TAR_TYPE.directory]: 'directory',
  [TAR_TYPE.fifo]: 'fifo',
};

function contentDigest(reader: TarReader): string {
  const hash = createHash('sha256');
  for (let view = reader.content(); view.length > 0; view = reader.content()) hash.update(view);
  return hash.digest('hex');
}

function fileSource(fd: number) {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  return {
    next: (limit: number) =>
      buffer.subarray(0, readSync(fd, buffer, 0, Math.min(limit, buffer.length), null)),
  };
}
