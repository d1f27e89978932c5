import { cString, type PathLike, systemError } from './libc.ts';
import { rawSyscall } from './syscall.ts';

/** File types in {@link FileStatus.mode}. */
export const S_IF = {
  mask: 0o170000,
  socket: 0o140000,
  symlink: 0o120000,
  regular: 0o100000,
  block: 0o060000,
  directory: 0o040000,
  character: 0o020000,
  fifo: 0o010000,
} as const;

/** What statx(2) says of a file. Numbers are exact: sizes and inodes beyond 2^53 do not occur in practice. */
export interface FileStatus {
  /** Type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly links: number;
  readonly inode: number;
  /** Device that holds the file, as one number. */
  readonly device: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly mountId: number;
  readonly modifiedNs: bigint;
  readonly accessedNs: bigint;
  readonly changedNs: bigint;
  readonly blocks: number;
}

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS_AND_MOUNT_ID = 0x7ff | 0x1000;

const buffer = Buffer.alloc(256);
const EMPTY = Buffer.alloc(1);

/** statx(2) of a name below a directory descriptor; a final symlink is not followed. */
export function statAt(directory: number, name: PathLike): FileStatus {
  return read(directory, cString(name), AT_SYMLINK_NOFOLLOW, name);
}

/** As {@link statAt}; undefined where there is no such file. */
export function statAtIfExists(directory: number, name: PathLike): FileStatus | undefined {
  const result = rawSyscall(
    'statx',
    directory,
    cString(name),
    AT_SYMLINK_NOFOLLOW,
    STATX_BASIC_STATS_AND_MOUNT_ID,
    buffer,
  );
  if (result === 0) return decode();
  if (result === -2 || result === -20) return undefined;
  throw systemError(-result, 'statx', name);
}

/** The status of an open descriptor (O_PATH ones too). */
export function statDescriptor(fd: number): FileStatus {
  return read(fd, EMPTY, AT_EMPTY_PATH, undefined);
}

function read(directory: number, name: Buffer, flags: number, shown: PathLike | undefined): FileStatus {
  const result = rawSyscall('statx', directory, name, flags, STATX_BASIC_STATS_AND_MOUNT_ID, buffer);
  if (result < 0) throw systemError(-result, 'statx', shown);
  return decode();
}

/** Field offsets: struct statx in linux/stat.h, the same on every architecture. */
function decode(): FileStatus {
  const time = (at: number) =>
    buffer.readBigInt64LE(at) * 1_000_000_000n + BigInt(buffer.readUInt32LE(at + 8));
  return {
    mode: buffer.readUInt16LE(28),
    uid: buffer.readUInt32LE(20),
    gid: buffer.readUInt32LE(24),
    links: buffer.readUInt32LE(16),
    inode: long(32),
    sizeBytes: long(40),
    blocks: long(48),
    accessedNs: time(64),
    changedNs: time(96),
    modifiedNs: time(112),
    deviceMajor: buffer.readUInt32LE(128),
    deviceMinor: buffer.readUInt32LE(132),
    device: buffer.readUInt32LE(136) * 2 ** 20 + buffer.readUInt32LE(140),
    mountId: long(144),
  };
}

function long(at: number): number {
  return buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 2 ** 32;
}

/** An entry of a directory: its name as bytes, and its file type ({@link S_IF}). */
export interface DirectoryEntry {
  readonly name: Buffer;
  readonly type: number;
  readonly inode: bigint;
}

/** For file systems that do not give types in listings. */
const typeOf = (directory: number, name: Buffer) => statAt(directory, name).mode >> 12;

const DIRENT_BYTES = 65536;
let dirents: Buffer | undefined;

/** Every entry of an open directory but `.` and `..`, in the file system's order, from its current position. */
export function readDirectory(fd: number): DirectoryEntry[] {
  dirents ??= Buffer.alloc(DIRENT_BYTES);
  const entries: DirectoryEntry[] = [];
  for (;;) {
    const filled = rawSyscall('getdents64', fd, dirents, dirents.length);
    if (filled < 0) throw systemError(-filled, 'getdents64');
    if (filled === 0) return entries;
    for (let at = 0; at < filled; ) {
      const length = dirents.readUInt16LE(at + 16);
      const end = dirents.indexOf(0, at + 19);
      const name = dirents.subarray(at + 19, end);
      const isDot = name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
      if (!isDot) {
        entries.push({
          name: Buffer.from(name),
          type: (dirents[at + 18]! || typeOf(fd, name)) << 12,
          inode: dirents.readBigUInt64LE(at),
        });
      }
      at += length;
    }
  }
}
