import type { Hash } from 'node:crypto';
import { StoreError } from '../error.ts';
import { PAX_XATTR, TAR_TYPE, type TarEntry } from './tar-entry.ts';

/** A chunk of a file in the table of contents of a zstd:chunked layer. */
export interface TocChunk {
  readonly chunkOffset: number;
  readonly offset: number;
  readonly chunkDigest: string;
  readonly chunkSize: number;
  readonly chunkType: '' | 'zeros';
}

/** An entry as it stands in the JSON; zero values are left out, as Go's encoder does. */
export type TocEntry = Readonly<Record<string, unknown>>;

const TYPES: Readonly<Record<string, string>> = {
  [TAR_TYPE.file]: 'reg',
  [TAR_TYPE.hardLink]: 'hardlink',
  [TAR_TYPE.character]: 'char',
  [TAR_TYPE.block]: 'block',
  [TAR_TYPE.directory]: 'dir',
  [TAR_TYPE.fifo]: 'fifo',
  [TAR_TYPE.symlink]: 'symlink',
};

export const digestText = (hash: Hash): string => `sha256:${hash.digest('hex')}`;

/** What a tar header says, in the words of the table of contents. */
export function tocEntry(entry: TarEntry): TocEntry {
  const type = TYPES[entry.type];
  if (type === undefined)
    throw new StoreError('bad-layer', `unknown entry type ${JSON.stringify(entry.type)}`);
  return withoutZeros({
    type,
    name: textOf(entry.name),
    linkName: textOf(entry.linkName),
    mode: entry.modeField ?? entry.mode,
    size: entry.sizeBytes,
    uid: entry.uid,
    gid: entry.gid,
    modtime: timeText(entry.modifiedNs),
    accesstime: timeText(entry.accessedNs),
    changetime: timeText(entry.changedNs),
    devMajor: entry.deviceMajor,
    devMinor: entry.deviceMinor,
    xattrs: xattrsOf(entry),
  });
}

/** The entries of a file with content: the file, and a chunk each where there are several. */
export function tocFileEntries(
  entry: TarEntry,
  place: { readonly digest: string; readonly offset: number; readonly endOffset: number },
  chunks: readonly TocChunk[],
): TocEntry[] {
  const main = { ...tocEntry(entry), ...place };
  if (chunks.length < 2) return [main];
  return chunks.map((chunk, index) =>
    withoutZeros(index === 0 ? { ...main, ...chunk } : { type: 'chunk', name: textOf(entry.name), ...chunk }),
  );
}

const textOf = (latin1: string) => Buffer.from(latin1, 'latin1').toString('utf8');

function xattrsOf(entry: TarEntry): Record<string, string> | undefined {
  const found = [...entry.pax]
    .filter(([key]) => key.startsWith(PAX_XATTR))
    .map(([key, value]) => [
      textOf(key.slice(PAX_XATTR.length)),
      Buffer.from(value, 'latin1').toString('base64'),
    ]);
  return found.length > 0 ? (Object.fromEntries(found) as Record<string, string>) : undefined;
}

/** RFC 3339 with as many digits of the fraction as it has. */
function timeText(ns: bigint | undefined): string | undefined {
  if (ns === undefined) return undefined;
  const fraction = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const seconds = new Date(Number((ns - fraction) / 1_000_000n)).toISOString().slice(0, 19);
  const digits = fraction.toString().padStart(9, '0').replace(/0+$/, '');
  return `${seconds}${digits && `.${digits}`}Z`;
}

function withoutZeros(fields: Record<string, unknown>): TocEntry {
  const kept = Object.entries(fields).filter(
    ([, value]) => value !== undefined && value !== 0 && value !== '',
  );
  return Object.fromEntries(kept);
}
