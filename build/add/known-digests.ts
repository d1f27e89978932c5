import { createHash } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { FileStatus } from '../../store/kernel/index.ts';
import { keepFile, openMemory, readKept } from './kept-files.ts';

/** Digests of files' contents from earlier builds, found again as long as the file is the same one. */
export interface KnownDigests {
  get(status: FileStatus): Uint8Array | undefined;
  /** @param readAtMs clock time before the file was opened for reading */
  put(status: FileStatus, digest: Uint8Array, readAtMs: number): void;
}

const MAGIC = 'slipway digests 1\n\0\0\0\0\0\0';
const DIGEST_BYTES = 32;
const ROW_BYTES = 40 + DIGEST_BYTES;
/** 36 MB. */
const LIMIT_ROWS = 500_000;
/** Within this time of its last change a file may change again without a new time: the clock of file systems is coarse. */
const RACY_NS = 100_000_000n;
/** The same where times have no fractions of seconds. */
const RACY_COARSE_NS = 2_000_000_000n;
/** NFS, SMB (three), 9p, FUSE, AFS, Ceph: their times are another machine's, or anything. */
const FOREIGN_CLOCKS = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x65735546, 0x5346414f, 0x00c36400,
]);

interface Row {
  readonly sizeBytes: number;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
  readonly digest: Uint8Array;
  isUsed: boolean;
}

/**
 * The digests of one context's files, kept in a file of their own. A row counts when device, inode, size, mtime and
 * ctime agree, and was only written when the file had been left alone for a while (the rule of git's index).
 */
export class DigestFile implements KnownDigests {
  readonly #path: string;
  readonly #rows: Map<string, Row>;
  #changed = false;

  private constructor(path: string, rows: Map<string, Row>) {
    this.#path = path;
    this.#rows = rows;
  }

  /**
   * Undefined where nothing may be kept: a directory of somebody else, a file system with another clock.
   * @param directory where the files are; made when missing
   */
  static open(directory: string, contextDirectory: string): DigestFile | undefined {
    if (FOREIGN_CLOCKS.has(statfsSync(contextDirectory).type) || !openMemory(directory)) return undefined;
    const name = createHash('sha256').update(contextDirectory).digest('hex').slice(0, 32);
    const path = join(directory, name);
    return new DigestFile(path, readRows(path));
  }

  get(status: FileStatus): Uint8Array | undefined {
    const row = this.#rows.get(keyOf(status));
    if (!row || row.sizeBytes !== status.sizeBytes) return undefined;
    if (row.modifiedNs !== status.modifiedNs || row.changedNs !== status.changedNs) return undefined;
    row.isUsed = true;
    return row.digest;
  }

  put(status: FileStatus, digest: Uint8Array, readAtMs: number): void {
    const { sizeBytes, modifiedNs, changedNs } = status;
    const margin = changedNs % 1_000_000_000n === 0n ? RACY_COARSE_NS : RACY_NS;
    if (changedNs > BigInt(Math.floor(readAtMs)) * 1_000_000n - margin) return;
    const key = keyOf(status);
    const known = this.#rows.get(key);
    if (known) known.isUsed = true;
    if (known && known.changedNs === changedNs && Buffer.compare(known.digest, digest) === 0) return;
    this.#rows.set(key, { sizeBytes, modifiedNs, changedNs, digest, isUsed: true });
    this.#changed = true;
  }

  /** Writes what is new. Builds at once write one after the other, and the last one stays. */
  save(): void {
    if (!this.#changed) return;
    this.#changed = false;
    keepFile(this.#path, MAGIC, this.#bytes());
  }

  #bytes(): Buffer {
    const used = [...this.#rows].filter(([, row]) => row.isUsed);
    const forgetUnused = this.#rows.size > LIMIT_ROWS || this.#rows.size > 2 * used.length + 10_000;
    const rows = (forgetUnused ? used : [...this.#rows]).slice(0, LIMIT_ROWS);
    const body = Buffer.alloc(rows.length * ROW_BYTES);
    for (const [index, [key, row]] of rows.entries()) writeRow(body, index * ROW_BYTES, key, row);
    return body;
  }
}

const keyOf = ({ device, inode }: FileStatus) => `${device}:${inode}`;

function writeRow(body: Buffer, at: number, key: string, row: Row): void {
  const [device, inode] = key.split(':').map(BigInt) as [bigint, bigint];
  body.writeBigUInt64LE(device, at);
  body.writeBigUInt64LE(inode, at + 8);
  body.writeBigUInt64LE(BigInt(row.sizeBytes), at + 16);
  body.writeBigInt64LE(row.modifiedNs, at + 24);
  body.writeBigInt64LE(row.changedNs, at + 32);
  body.set(row.digest, at + 40);
}

function readRows(path: string): Map<string, Row> {
  const rows = new Map<string, Row>();
  const body = readKept(path, MAGIC, LIMIT_ROWS * ROW_BYTES);
  if (!body || body.length % ROW_BYTES !== 0) return rows;
  for (let at = 0; at < body.length; at += ROW_BYTES)
    rows.set(`${body.readBigUInt64LE(at)}:${body.readBigUInt64LE(at + 8)}`, {
      sizeBytes: Number(body.readBigUInt64LE(at + 16)),
      modifiedNs: body.readBigInt64LE(at + 24),
      changedNs: body.readBigInt64LE(at + 32),
      digest: body.subarray(at + 40, at + ROW_BYTES),
      isUsed: false,
    });
  return rows;
}
