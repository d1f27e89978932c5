/**
 * The file format of bbolt (go.etcd.io/bbolt), version 2, little-endian. A file is a row of pages. The first two are
 * the metas, written in turn: the valid one with the higher transaction id counts. Every other page is reached from
 * its root bucket, belongs to its freelist, or is free.
 */
export const MAGIC = 0xed0c_daed;
export const VERSION = 2;
export const NO_FREELIST = 0xffff_ffff_ffff_ffffn;

/** Of pages. */
export const FLAG = { branch: 1, leaf: 2, meta: 4, freelist: 16 } as const;
/** Of an element of a leaf: its value is a bucket. */
export const BUCKET_ELEMENT = 1;

/** Page header: id u64, flags u16, count u16, overflow u32. */
export const HEADER_BYTES = 16;
/** Leaf: flags, position, key size, value size, u32 each. Branch: position, key size, u32 each, page id u64. */
export const ELEMENT_BYTES = 16;
/** Bucket: root page id u64 (0: the page follows inline), sequence u64. */
export const BUCKET_BYTES = 16;
export const META_BYTES = 64;
const CHECKSUM_OFFSET = 56;

export interface PageHeader {
  readonly id: number;
  readonly flags: number;
  readonly count: number;
  readonly overflow: number;
}

export interface Meta {
  readonly pageSize: number;
  readonly flags: number;
  readonly root: number;
  readonly sequence: bigint;
  /** Undefined where the writer kept none. */
  readonly freelist: number | undefined;
  /** One more than the highest page in use. */
  readonly end: number;
  readonly transaction: bigint;
}

/** Page ids fit a double where a file fits a disk; what does not fit comes out as a page that no file has. */
export function readPageId(bytes: Buffer, offset: number): number {
  const id = bytes.readBigUInt64LE(offset);
  return id > 0xffff_ffff_ffffn ? Number.POSITIVE_INFINITY : Number(id);
}

export function readHeader(bytes: Buffer, offset: number): PageHeader {
  return {
    id: readPageId(bytes, offset),
    flags: bytes.readUInt16LE(offset + 8),
    count: bytes.readUInt16LE(offset + 10),
    overflow: bytes.readUInt32LE(offset + 12),
  };
}

export function writeHeader(page: Buffer, { id, flags, count, overflow }: PageHeader): void {
  page.writeBigUInt64LE(BigInt(id), 0);
  page.writeUInt16LE(flags, 8);
  page.writeUInt16LE(count, 10);
  page.writeUInt32LE(overflow, 12);
}

/** The meta behind the page header at an offset; undefined where there is no valid one. */
export function readMeta(file: Buffer, page: number): Meta | undefined {
  const start = page + HEADER_BYTES;
  if (start + META_BYTES > file.length) return undefined;
  const bytes = file.subarray(start, start + META_BYTES);
  if (bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt32LE(4) !== VERSION) return undefined;
  if (bytes.readBigUInt64LE(CHECKSUM_OFFSET) !== checksum(bytes.subarray(0, CHECKSUM_OFFSET)))
    return undefined;
  const freelist = bytes.readBigUInt64LE(32);
  return {
    pageSize: bytes.readUInt32LE(8),
    flags: bytes.readUInt32LE(12),
    root: readPageId(bytes, 16),
    sequence: bytes.readBigUInt64LE(24),
    freelist: freelist === NO_FREELIST ? undefined : readPageId(bytes, 32),
    end: readPageId(bytes, 40),
    transaction: bytes.readBigUInt64LE(48),
  };
}

/** A whole meta page; transactions take the two places in turn. */
export function metaPage(meta: Meta): { readonly id: number; readonly bytes: Buffer } {
  const id = Number(meta.transaction % 2n);
  const page = Buffer.alloc(meta.pageSize);
  writeHeader(page, { id, flags: FLAG.meta, count: 0, overflow: 0 });
  const bytes = page.subarray(HEADER_BYTES, HEADER_BYTES + META_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 4);
  bytes.writeUInt32LE(meta.pageSize, 8);
  bytes.writeUInt32LE(meta.flags, 12);
  bytes.writeBigUInt64LE(BigInt(meta.root), 16);
  bytes.writeBigUInt64LE(meta.sequence, 24);
  bytes.writeBigUInt64LE(meta.freelist === undefined ? NO_FREELIST : BigInt(meta.freelist), 32);
  bytes.writeBigUInt64LE(BigInt(meta.end), 40);
  bytes.writeBigUInt64LE(meta.transaction, 48);
  bytes.writeBigUInt64LE(checksum(bytes.subarray(0, CHECKSUM_OFFSET)), CHECKSUM_OFFSET);
  return { id, bytes: page };
}

/** FNV-1a of 64 bits. */
export function checksum(bytes: Uint8Array): bigint {
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100_0000_01b3n);
  return hash;
}
