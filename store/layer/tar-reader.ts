import { StoreError } from '../error.ts';
import { applyPaxRecords, parsePaxRecords } from './pax.ts';
import { BLOCK_BYTES, paddingOf, TAR_TYPE, type TarEntry } from './tar-entry.ts';
import {
  checkPieces,
  readOldSparseMap,
  readPaxSparseMap,
  SparseContent,
  type SparseMap,
} from './tar-sparse.ts';

/** Where a {@link TarReader} gets its bytes from; an empty view is the end. */
export interface ByteSource {
  next(limit: number): Buffer;
}

export interface TarReadOptions {
  /**
   * Sparse files are given whole, with their zeros. Default: they are refused, since the raw bytes and the content
   * that was given do not make up the stream again.
   */
  readonly expandSparse?: boolean;
}

/** Receives every byte that is not the content of a file: headers, padding, the end marker and what follows it. */
export type RawSink = (bytes: Buffer) => void;

const SPECIAL_LIMIT_BYTES = 1 << 20;
const HEADER_ONLY: ReadonlySet<string> = new Set([
  TAR_TYPE.hardLink,
  TAR_TYPE.symlink,
  TAR_TYPE.character,
  TAR_TYPE.block,
  TAR_TYPE.directory,
  TAR_TYPE.fifo,
]);
const CONTENT: ReadonlySet<string> = new Set([TAR_TYPE.file, TAR_TYPE.contiguous]);

/**
 * Reads a tar stream entry by entry as Go's archive/tar does: ustar, star, GNU long names and PAX. Global PAX headers
 * are passed over, as containers/storage does.
 */
export class TarReader {
  readonly #source: ByteSource;
  readonly #raw: RawSink;
  readonly #options: TarReadOptions;
  #left = 0;
  #padding = 0;
  #sparse: SparseContent | undefined;

  constructor(source: ByteSource, raw: RawSink = () => {}, options: TarReadOptions = {}) {
    this.#source = source;
    this.#raw = raw;
    this.#options = options;
  }

  /**
   * The next entry, or undefined at the end of the archive; content that was not read is skipped.
   * @throws StoreError `bad-layer`, `truncated`, `unsupported`
   */
  next(): TarEntry | undefined {
    this.#skipContent();
    let records: Map<string, string> | undefined;
    let longName: string | undefined;
    let longLink: string | undefined;
    for (;;) {
      const block = this.#block();
      const entry = block && decodeHeader(block);
      if (!entry) {
        if (records || longName !== undefined || longLink !== undefined)
          throw new StoreError('truncated', 'the archive ends after an extended header');
        return undefined;
      }
      if (entry.type === TAR_TYPE.pax) records = parsePaxRecords(this.#special(entry));
      else if (entry.type === TAR_TYPE.globalPax) this.#special(entry);
      else if (entry.type === TAR_TYPE.gnuLongName) longName = untilNul(this.#special(entry));
      else if (entry.type === TAR_TYPE.gnuLongLink) longLink = untilNul(this.#special(entry));
      else return this.#complete(entry, block as Buffer, records, longName, longLink);
    }
  }

  /** Up to `limit` bytes of the current entry's content as a view that the next call overwrites; empty at its end. */
  content(limit = Number.MAX_SAFE_INTEGER): Buffer {
    return this.#sparse?.next(limit, (wanted) => this.#stored(wanted)) ?? this.#stored(limit);
  }

  /** Passes over the zeros of a sparse file that come next, and says how many; 0 where there are none. */
  hole(): number {
    return this.#sparse?.hole() ?? 0;
  }

  #stored(limit: number): Buffer {
    if (this.#left === 0) return EMPTY;
    const view = this.#source.next(Math.min(this.#left, limit));
    if (view.length === 0) throw truncated();
    this.#left -= view.length;
    return view;
  }

  /** After the last entry: hands over everything that follows the end marker. */
  drain(): void {
    for (;;) {
      const view = this.#source.next(1 << 16);
      if (view.length === 0) return;
      this.#raw(view);
    }
  }

  #complete(
    entry: TarEntry,
    header: Buffer,
    records: Map<string, string> | undefined,
    longName: string | undefined,
    longLink: string | undefined,
  ): TarEntry {
    if (records) applyPaxRecords(entry, records);
    if (longName !== undefined) entry.name = longName;
    if (longLink !== undefined) entry.linkName = longLink;
    if (
      entry.type === TAR_TYPE.gnuSparse ||
      [...entry.pax.keys()].some((key) => key.startsWith('GNU.sparse.'))
    )
      return this.#completeSparse(entry, header);
    if (entry.type === TAR_TYPE.oldFile)
      entry.type = entry.name.endsWith('/') ? TAR_TYPE.directory : TAR_TYPE.file;
    if (entry.type === TAR_TYPE.contiguous) entry.type = TAR_TYPE.file;
    if (HEADER_ONLY.has(entry.type)) entry.sizeBytes = 0;
    else if (!CONTENT.has(entry.type))
      throw new StoreError(
        'bad-layer',
        `unknown type ${quote(entry.type)} of the entry ${quote(entry.name)}`,
      );
    if (entry.name.includes('\0') || entry.linkName.includes('\0'))
      throw new StoreError('bad-layer', `a NUL byte in the name ${quote(entry.name)}`);
    this.#left = entry.sizeBytes;
    this.#padding = paddingOf(entry.sizeBytes);
    return entry;
  }

  #completeSparse(entry: TarEntry, header: Buffer): TarEntry {
    this.#left = entry.sizeBytes;
    this.#padding = paddingOf(entry.sizeBytes);
    const map = this.#options.expandSparse ? this.#sparseMap(entry, header) : undefined;
    if (!map)
      throw new StoreError('unsupported', `the sparse file ${quote(entry.name)} cannot be unpacked`, {
        hint: 'Make the archive without --sparse.',
      });
    checkPieces(map, this.#left, quote(entry.name));
    this.#sparse = new SparseContent(map);
    entry.type = TAR_TYPE.file;
    entry.sizeBytes = map.sizeBytes;
    return entry;
  }

  #sparseMap(entry: TarEntry, header: Buffer): SparseMap | undefined {
    if (entry.type === TAR_TYPE.gnuSparse)
      return readOldSparseMap(
        header,
        () => this.#exactly(BLOCK_BYTES),
        (block, at, bytes) => safe(numeric(block, at, bytes, 'sparse map'), 'sparse map'),
      );
    return readPaxSparseMap(entry, () => {
      if (this.#left < BLOCK_BYTES) throw truncated();
      this.#left -= BLOCK_BYTES;
      return this.#exactly(BLOCK_BYTES);
    });
  }

  #skipContent(): void {
    this.#sparse = undefined;
    while (this.#left > 0) this.#raw(this.content());
    if (this.#padding > 0) this.#raw(this.#exactly(this.#padding));
    this.#padding = 0;
  }

  /** A header block; undefined at the end marker or where the stream ends between blocks. */
  #block(): Buffer | undefined {
    const block = this.#upTo(BLOCK_BYTES);
    if (block.length === 0) return undefined;
    if (block.length < BLOCK_BYTES) throw truncated();
    this.#raw(block);
    if (block.some(Boolean)) return block;
    const second = this.#upTo(BLOCK_BYTES);
    if (second.length === 0) return undefined;
    if (second.length < BLOCK_BYTES) throw truncated();
    this.#raw(second);
    if (second.some(Boolean)) throw new StoreError('bad-layer', 'an empty block inside the archive');
    return undefined;
  }

  #special(entry: TarEntry): Buffer {
    if (entry.sizeBytes > SPECIAL_LIMIT_BYTES)
      throw new StoreError('bad-layer', `an extended header of more than ${SPECIAL_LIMIT_BYTES} bytes`);
    const body = this.#exactly(entry.sizeBytes);
    this.#raw(body);
    this.#raw(this.#exactly(paddingOf(entry.sizeBytes)));
    return body;
  }

  #exactly(length: number): Buffer {
    const bytes = this.#upTo(length);
    if (bytes.length < length) throw truncated();
    return bytes;
  }

  /** A copy, since pieces of the stream may lie apart and are overwritten. */
  #upTo(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; ) {
      const view = this.#source.next(length - at);
      if (view.length === 0) return bytes.subarray(0, at);
      bytes.set(view, at);
      at += view.length;
    }
    return bytes;
  }
}

const EMPTY = Buffer.alloc(0);
const quote = (text: string) => JSON.stringify(text.slice(0, 200));
const truncated = () => new StoreError('truncated', 'the archive ends in the middle of an entry');

/** True where these bytes start with the header of an entry, of whatever type. */
export function isTarHeader(bytes: Buffer): boolean {
  if (bytes.length < BLOCK_BYTES || !bytes.subarray(0, BLOCK_BYTES).some(Boolean)) return false;
  try {
    checkSum(bytes);
    return true;
  } catch (error) {
    if (error instanceof StoreError) return false;
    throw error;
  }
}

function decodeHeader(block: Buffer): TarEntry | undefined {
  if (block.length < BLOCK_BYTES || !block.some(Boolean)) return undefined;
  checkSum(block);
  const magic = block.toString('latin1', 257, 265);
  const isGnu = magic === 'ustar  \0';
  const isPosix = magic.startsWith('ustar\0');
  const isStar = isPosix && block.toString('latin1', 508, 512) === 'tar\0';
  let name = text(block, 0, 100);
  if (isPosix) {
    const prefix = text(block, 345, isStar ? 131 : 155);
    if (prefix !== '') name = `${prefix}/${name}`;
  }
  const known = isGnu || isPosix;
  const seconds = numeric(block, 136, 12, 'modification time');
  const modeField = Number(numeric(block, 100, 8, 'mode'));
  return {
    name,
    linkName: text(block, 157, 100),
    type: String.fromCharCode(block[156]!),
    mode: modeField & 0o7777,
    modeField,
    uid: identity(block, 108, 'uid'),
    gid: identity(block, 116, 'gid'),
    userName: known ? text(block, 265, 32) : '',
    groupName: known ? text(block, 297, 32) : '',
    sizeBytes: safe(numeric(block, 124, 12, 'size'), 'size'),
    modifiedNs: BigInt(seconds) * 1_000_000_000n,
    deviceMajor: known ? safe(numeric(block, 329, 8, 'device number'), 'device number') : 0,
    deviceMinor: known ? safe(numeric(block, 337, 8, 'device number'), 'device number') : 0,
    ...(isGnu ? gnuTimes(block) : {}),
    pax: new Map(),
  };
}

/** GNU's own format has the other times where ustar has the start of the name. */
function gnuTimes(block: Buffer): Pick<TarEntry, 'accessedNs' | 'changedNs'> {
  const time = (at: number) =>
    block[at] === 0 ? undefined : BigInt(numeric(block, at, 12, 'time')) * 1_000_000_000n;
  return { accessedNs: time(345), changedNs: time(357) };
}

function checkSum(block: Buffer): void {
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < BLOCK_BYTES; at += 1) {
    const byte = at >= 148 && at < 156 ? 0x20 : block[at]!;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const stated = Number(numeric(block, 148, 8, 'checksum'));
  if (stated !== unsigned && stated !== signed)
    throw new StoreError('bad-layer', 'a header of the archive has a wrong checksum');
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

const text = (block: Buffer, at: number, bytes: number) => untilNul(block.subarray(at, at + bytes));

/** An octal field, or a base-256 one of GNU and star. */
function numeric(block: Buffer, at: number, bytes: number, what: string): number | bigint {
  const first = block[at]!;
  if (first & 0x80) {
    let value = BigInt(first & 0x40 ? (first & 0x7f) - 0x80 : first & 0x7f);
    for (let index = 1; index < bytes; index += 1) value = (value << 8n) | BigInt(block[at + index]!);
    return value;
  }
  let index = at;
  const end = at + bytes;
  while (index < end && (block[index] === 0x20 || block[index] === 0)) index += 1;
  let value = 0;
  for (; index < end && block[index] !== 0x20 && block[index] !== 0; index += 1) {
    const digit = block[index]! - 0x30;
    if (digit < 0 || digit > 7) throw new StoreError('bad-layer', `bad ${what} in a header of the archive`);
    value = value * 8 + digit;
  }
  return value;
}

function safe(value: number | bigint, what: string): number {
  if (value < 0 || value > Number.MAX_SAFE_INTEGER)
    throw new StoreError('bad-layer', `the ${what} ${value} of an entry is out of range`);
  return Number(value);
}

function identity(block: Buffer, at: number, what: string): number {
  const value = safe(numeric(block, at, 8, what), what);
  if (value > 0xfffffffe)
    throw new StoreError('bad-layer', `the ${what} ${value} of an entry is out of range`);
  return value;
}
