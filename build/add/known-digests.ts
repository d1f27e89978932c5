import { createHash } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type FileStatus, statDescriptor } from '../../store/kernel/index.ts';
import { keepFile, openMemory, readKept } from './kept-files.ts';
import { RootedDirectory } from './rooted.ts';

/** Digests of files' contents from earlier builds, found again as long as the file is the same one. */
export interface KnownDigests {
  get(status: FileStatus): Uint8Array | undefined;
  /** @param readAtMs clock time before the file was opened for reading */
  put(status: FileStatus, digest: Uint8Array, readAtMs: number): void;
}

const MAGIC = 'slipway digests 1\n\0\0\0\0\0\0';
const DIGEST_BYTES = 32;
const DIGEST_AT = 40;
const ROW_BYTES = DIGEST_AT + DIGEST_BYTES;
/** 36 MB. */
const LIMIT_ROWS = 500_000;
/** Within this time of its last change a file may change again without a new time: the clock of file systems is coarse. */
const RACY_NS = 100_000_000n;
/** The same where times have no fractions of seconds. */
const RACY_COARSE_NS = 2_000_000_000n;
/** NFS, SMB (three), 9p, FUSE, AFS, Ceph: their times are another machine's, or anything. */
const FOREIGN_CLOCKS = [
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x65735546, 0x5346414f, 0x00c36400,
];
/**
 * squashfs, EROFS, ISO 9660, UDF, cramfs, romfs: another image at the same place may have the times of the one before.
 * FAT, exFAT, NTFS (two), HFS+: their times can be those of the one who wrote them, too.
 */
const MADE_ELSEWHERE = [
  0x73717368, 0xe0f5e1e2, 0x9660, 0x15013346, 0x28cd3d45, 0x7275, 0x4d44, 0x2011bab0, 0x5346544e, 0x7366746e,
  0x482b,
];
const UNTRUSTED_TIMES: ReadonlySet<number> = new Set([...FOREIGN_CLOCKS, ...MADE_ELSEWHERE]);

interface Row {
  readonly device: number;
  readonly inode: number;
  readonly sizeBytes: number;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
  /** Where its digest is in the file that was read; a new one is in {@link digest}. */
  readonly at: number;
  readonly digest?: Uint8Array;
  isUsed: boolean;
}

/**
 * The digests of one context's files, kept in a file of their own. A row counts when device, inode, size, mtime and
 * ctime agree, and was only written when the file had been left alone for a while (the rule of git's index).
 */
export class DigestFile implements KnownDigests {
  readonly #path: string;
  /** Of the context: what is mounted below it may be of any file system. */
  readonly #mountId: number;
  readonly #kept: Buffer;
  /** By inode: the files of a context are on one device, but for the odd one. */
  readonly #rows = new Map<number | string, Row>();
  #device: number | undefined;
  #changed = false;

  private constructor(path: string, mountId: number, kept: Buffer) {
    this.#path = path;
    this.#mountId = mountId;
    this.#kept = kept;
    for (let at = 0; at < kept.length; at += ROW_BYTES) {
      const row = readRow(kept, at);
      this.#rows.set(this.#keyOf(row), row);
    }
  }

  /**
   * Undefined where nothing may be kept: a directory of somebody else, a file system whose times prove nothing.
   * @param directory where the files are; made when missing
   */
  static open(directory: string, contextDirectory: string): DigestFile | undefined {
    if (UNTRUSTED_TIMES.has(statfsSync(contextDirectory).type) || !openMemory(directory)) return undefined;
    const name = createHash('sha256').update(contextDirectory).digest('hex').slice(0, 32);
    const path = join(directory, name);
    const kept = readKept(path, MAGIC, LIMIT_ROWS * ROW_BYTES) ?? Buffer.alloc(0);
    const whole = kept.length % ROW_BYTES === 0 ? kept : Buffer.alloc(0);
    return new DigestFile(path, mountOf(contextDirectory), whole);
  }

  #keyOf({ device, inode }: Pick<FileStatus, 'device' | 'inode'>): number | string {
    this.#device ??= device;
    return device === this.#device ? inode : `${device}:${inode}`;
  }

  #digestOf({ at, digest }: Row): Uint8Array {
    return digest ?? this.#kept.subarray(at, at + DIGEST_BYTES);
  }

  get(status: FileStatus): Uint8Array | undefined {
    if (status.mountId !== this.#mountId) return undefined;
    const row = this.#rows.get(this.#keyOf(status));
    if (!row || row.sizeBytes !== status.sizeBytes) return undefined;
    if (row.modifiedNs !== status.modifiedNs || row.changedNs !== status.changedNs) return undefined;
    row.isUsed = true;
    return this.#digestOf(row);
  }

  put(status: FileStatus, digest: Uint8Array, readAtMs: number): void {
    const { device, inode, sizeBytes, modifiedNs, changedNs, mountId } = status;
    if (mountId !== this.#mountId) return;
    const margin = changedNs % 1_000_000_000n === 0n ? RACY_COARSE_NS : RACY_NS;
    if (changedNs > BigInt(Math.floor(readAtMs)) * 1_000_000n - margin) return;
    const key = this.#keyOf(status);
    const known = this.#rows.get(key);
    if (known) known.isUsed = true;
    if (known?.changedNs === changedNs && Buffer.compare(this.#digestOf(known), digest) === 0) return;
    this.#rows.set(key, { device, inode, sizeBytes, modifiedNs, changedNs, at: -1, digest, isUsed: true });
    this.#changed = true;
  }

  /** Writes what is new. Builds at once write one after the other, and the last one stays. */
  save(): void {
    if (!this.#changed) return;
    this.#changed = false;
    keepFile(this.#path, MAGIC, this.#bytes());
  }

  #bytes(): Buffer {
    const all = [...this.#rows.values()];
    const used = all.filter((row) => row.isUsed);
    const forgetUnused = all.length > LIMIT_ROWS || all.length > 2 * used.length + 10_000;
    const rows = (forgetUnused ? used : all).slice(0, LIMIT_ROWS);
    const body = Buffer.alloc(rows.length * ROW_BYTES);
    for (const [index, row] of rows.entries()) {
      writeRow(body, index * ROW_BYTES, row);
      body.set(this.#digestOf(row), index * ROW_BYTES + DIGEST_AT);
    }
    return body;
  }
}

function mountOf(directory: string): number {
  using root = new RootedDirectory(directory);
  return statDescriptor(root.fd).mountId;
}

function writeRow(body: Buffer, at: number, row: Row): void {
  body.writeBigUInt64LE(BigInt(row.device), at);
  body.writeBigUInt64LE(BigInt(row.inode), at + 8);
  body.writeBigUInt64LE(BigInt(row.sizeBytes), at + 16);
  body.writeBigInt64LE(row.modifiedNs, at + 24);
  body.writeBigInt64LE(row.changedNs, at + 32);
}

function readRow(body: Buffer, at: number): Row {
  return {
    device: numberAt(body, at),
    inode: numberAt(body, at + 8),
    sizeBytes: numberAt(body, at + 16),
    modifiedNs: body.readBigInt64LE(at + 24),
    changedNs: body.readBigInt64LE(at + 32),
    at: at + DIGEST_AT,
    isUsed: false,
  };
}

/** As the status of files has its numbers. */
function numberAt(body: Buffer, at: number): number {
  return body.readUInt32LE(at) + body.readUInt32LE(at + 4) * 2 ** 32;
}
