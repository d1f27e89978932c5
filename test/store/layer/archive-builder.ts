import { Readable } from 'node:stream';
import { paddingOf, TAR_TYPE, type TarEntry } from '../../../store/layer/tar-entry.ts';
import { encodeTarHeader } from '../../../store/layer/tar-header.ts';

/** An entry of a test archive: what is left out is that of an empty file of root. */
export type EntrySpec = Partial<Omit<TarEntry, 'pax'>> & {
  readonly content?: string | Uint8Array;
  readonly xattrs?: Readonly<Record<string, string>>;
};

export function entryBytes(spec: EntrySpec): Buffer {
  const { content = '', xattrs = {}, ...fields } = spec;
  const body = Buffer.from(content);
  const header = encodeTarHeader({
    name: '',
    linkName: '',
    type: TAR_TYPE.file,
    mode: 0o644,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    userName: '',
    groupName: '',
    sizeBytes: body.length,
    modifiedNs: 1_700_000_000_000_000_000n,
    deviceMajor: 0,
    deviceMinor: 0,
    pax: new Map(Object.entries(xattrs).map(([name, value]) => [`SCHILY.xattr.${name}`, value])),
    ...fields,
  });
  return Buffer.concat([header, body, Buffer.alloc(paddingOf(body.length))]);
}

export const END = Buffer.alloc(1024);

export function archive(...specs: readonly (EntrySpec | Buffer)[]): Buffer {
  return Buffer.concat([...specs.map((spec) => (Buffer.isBuffer(spec) ? spec : entryBytes(spec))), END]);
}

/** A name in UTF-8, one byte a character as entries have it. */
export const utf8 = (name: string): string => Buffer.from(name).toString('latin1');

export const file = (name: string, content: string | Uint8Array = '', more: EntrySpec = {}): EntrySpec => ({
  name,
  content,
  ...more,
});
export const directory = (name: string, more: EntrySpec = {}): EntrySpec => ({
  name,
  type: TAR_TYPE.directory,
  mode: 0o755,
  ...more,
});
export const symlink = (name: string, linkName: string, more: EntrySpec = {}): EntrySpec => ({
  name,
  linkName,
  type: TAR_TYPE.symlink,
  mode: 0o777,
  ...more,
});
export const hardLink = (name: string, linkName: string, more: EntrySpec = {}): EntrySpec => ({
  name,
  linkName,
  type: TAR_TYPE.hardLink,
  ...more,
});

/** The bytes as a stream of small, odd chunks. */
export function streamOf(bytes: Uint8Array, chunkBytes = 997): Readable {
  const source = Buffer.from(bytes);
  return Readable.from(
    (function* () {
      for (let at = 0; at < source.length; at += chunkBytes) yield source.subarray(at, at + chunkBytes);
    })(),
  );
}

/** Fixes the checksum of a header block that a test has changed. */
export function seal(block: Buffer): Buffer {
  block.fill(' ', 148, 156);
  let sum = 0;
  for (const byte of block.subarray(0, 512)) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
