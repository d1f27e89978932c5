import { chmodSync } from 'node:fs';
import { checked, cString, lastErrno, libcFunction, type PathLike, systemError } from './libc.ts';
import { rawSyscall } from './syscall.ts';

/** The descriptor that stands for the working directory in the `at` calls. */
export const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;

/** Flags of open(2) that differ by architecture or that node:fs lacks. */
const ARM = process.arch === 'arm64';
export const OPEN = {
  readOnly: 0,
  writeOnly: 1,
  readWrite: 2,
  create: 0o100,
  exclusive: 0o200,
  truncate: 0o1000,
  nonBlock: 0o4000,
  directory: ARM ? 0o40000 : 0o200000,
  noFollow: ARM ? 0o100000 : 0o400000,
  closeOnExec: 0o2000000,
  path: 0o10000000,
} as const;

/** Rules of openat2(2). */
export const RESOLVE = {
  noXdev: 1,
  noMagicLinks: 2,
  noSymlinks: 4,
  beneath: 8,
  inRoot: 16,
} as const;

const nativeOpenat = libcFunction('openat', 'int', ['int', 'void*', 'int', 'unsigned int']);
const nativeMkdirat = libcFunction('mkdirat', 'int', ['int', 'void*', 'unsigned int']);
const nativeSymlinkat = libcFunction('symlinkat', 'int', ['void*', 'int', 'void*']);
const nativeLinkat = libcFunction('linkat', 'int', ['int', 'void*', 'int', 'void*', 'int']);
const nativeUnlinkat = libcFunction('unlinkat', 'int', ['int', 'void*', 'int']);
const nativeMknodat = libcFunction('mknodat', 'int', ['int', 'void*', 'unsigned int', 'uint64_t']);
const nativeFchownat = libcFunction('fchownat', 'int', [
  'int',
  'void*',
  'unsigned int',
  'unsigned int',
  'int',
]);
const nativeFchown = libcFunction('fchown', 'int', ['int', 'unsigned int', 'unsigned int']);
const nativeFchmod = libcFunction('fchmod', 'int', ['int', 'unsigned int']);
const nativeUtimensat = libcFunction('utimensat', 'int', ['int', 'void*', 'void*', 'int']);
const nativeFutimens = libcFunction('futimens', 'int', ['int', 'void*']);
const nativeReadlinkat = libcFunction('readlinkat', 'intptr_t', ['int', 'void*', 'void*', 'size_t']);
const nativeClose = libcFunction('close', 'int', ['int']);

/** openat(2); close-on-exec is always set. Gives a descriptor that node:fs functions take too. */
export function openAt(directory: number, name: PathLike, flags: number, mode = 0): number {
  return checked(nativeOpenat(directory, cString(name), flags | OPEN.closeOnExec, mode), 'openat', name);
}

let noOpenat2 = false;

/** False where the kernel (before 5.6) or a seccomp filter has no openat2. */
export function hasOpenat2(): boolean {
  if (noOpenat2) return false;
  const probe = openAt2Raw(AT_FDCWD, cString('.'), OPEN.path | OPEN.directory, 0, 0);
  if (probe === -38 || probe === -1) noOpenat2 = true;
  if (probe >= 0) closeDescriptor(probe);
  return !noOpenat2;
}

function openAt2Raw(directory: number, name: Buffer, flags: number, mode: number, resolve: number): number {
  const how = Buffer.alloc(24);
  how.writeUInt32LE(flags | OPEN.closeOnExec, 0);
  how.writeUInt32LE(mode, 8);
  how.writeUInt32LE(resolve, 16);
  return rawSyscall('openat2', directory, name, how, how.length);
}

/**
 * openat2(2): opens below `directory` under the rules of {@link RESOLVE}. With `inRoot` absolute links and `..` stay
 * inside. Retries where a rename elsewhere makes the kernel give up (`EAGAIN`).
 */
export function openAt2(
  directory: number,
  name: PathLike,
  flags: number,
  resolve: number = RESOLVE.inRoot | RESOLVE.noMagicLinks,
  mode = 0,
): number {
  const bytes = cString(name);
  for (let attempt = 0; ; attempt += 1) {
    const result = openAt2Raw(directory, bytes, flags, mode, resolve);
    if (result >= 0) return result;
    if (result !== -11 || attempt >= 1000) throw systemError(-result, 'openat2', name);
  }
}

export function closeDescriptor(fd: number): void {
  nativeClose(fd);
}

export function mkdirAt(directory: number, name: PathLike, mode: number): void {
  checked(nativeMkdirat(directory, cString(name), mode), 'mkdirat', name);
}

export function symlinkAt(target: PathLike, directory: number, name: PathLike): void {
  checked(nativeSymlinkat(cString(target), directory, cString(name)), 'symlinkat', name);
}

/** linkat(2): a final symlink is linked itself, not followed. */
export function linkAt(fromDirectory: number, from: PathLike, directory: number, name: PathLike): void {
  checked(nativeLinkat(fromDirectory, cString(from), directory, cString(name), 0), 'linkat', name);
}

/** unlinkat(2), for an empty directory with `isDirectory`. */
export function unlinkAt(directory: number, name: PathLike, isDirectory = false): void {
  checked(nativeUnlinkat(directory, cString(name), isDirectory ? AT_REMOVEDIR : 0), 'unlinkat', name);
}

/** As {@link unlinkAt} where failures are expected, which errors would make slow: 0, or the errno. */
export function tryUnlinkAt(directory: number, name: PathLike, isDirectory = false): number {
  const result = nativeUnlinkat(directory, cString(name), isDirectory ? AT_REMOVEDIR : 0);
  return result === 0 ? 0 : lastErrno();
}

/** The kernel's device number (glibc's makedev layout, which mknod(2) and st_rdev use). */
export function makeDevice(major: number, minor: number): bigint {
  const a = BigInt(major);
  const b = BigInt(minor);
  return (b & 0xffn) | ((a & 0xfffn) << 8n) | ((b & ~0xffn) << 12n) | ((a & ~0xfffn) << 32n);
}

/** mknodat(2). @param mode type (S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK) and permission bits */
export function mknodAt(directory: number, name: PathLike, mode: number, major = 0, minor = 0): void {
  checked(nativeMknodat(directory, cString(name), mode, makeDevice(major, minor)), 'mknodat', name);
}

/** fchownat(2) that never follows a final symlink; -1 keeps an id. */
export function chownAt(directory: number, name: PathLike, uid: number, gid: number): void {
  const result = nativeFchownat(directory, cString(name), uid >>> 0, gid >>> 0, AT_SYMLINK_NOFOLLOW);
  checked(result, 'fchownat', name);
}

/** The owner of an open file; works for O_PATH descriptors too. */
export function chownDescriptor(fd: number, uid: number, gid: number): void {
  if (nativeFchown(fd, uid >>> 0, gid >>> 0) === 0) return;
  if (lastErrno() !== 9) throw systemError(lastErrno(), 'fchown');
  checked(nativeFchownat(fd, cString(''), uid >>> 0, gid >>> 0, AT_EMPTY_PATH), 'fchownat');
}

/** fchmod(2), with setuid, setgid and sticky bits. Not for O_PATH descriptors. */
export function chmodDescriptor(fd: number, mode: number): void {
  checked(nativeFchmod(fd, mode), 'fchmod');
}

/** The mode of a file by name, a final symlink refused: there is no call for it before Linux 6.6, so /proc is asked. */
export function chmodAt(directory: number, name: PathLike, mode: number): void {
  const fd = openAt(directory, name, OPEN.path | OPEN.noFollow);
  try {
    chmodSync(`/proc/self/fd/${fd}`, mode);
  } finally {
    closeDescriptor(fd);
  }
}

const times = Buffer.alloc(32);

/** Two struct timespec, valid until the next call. */
function timespecs(accessNs: bigint, modifiedNs: bigint): Buffer {
  writeTimespec(0, accessNs);
  writeTimespec(16, modifiedNs);
  return times;
}

function writeTimespec(at: number, ns: bigint): void {
  const rest = ns % 1_000_000_000n;
  const seconds = ns / 1_000_000_000n;
  times.writeBigInt64LE(rest < 0n ? seconds - 1n : seconds, at);
  times.writeBigInt64LE(rest < 0n ? rest + 1_000_000_000n : rest, at + 8);
}

/** Sets access and modification time in nanoseconds since the epoch; a final symlink is not followed. */
export function setTimesAt(directory: number, name: PathLike, accessNs: bigint, modifiedNs: bigint): void {
  const given = timespecs(accessNs, modifiedNs);
  checked(nativeUtimensat(directory, cString(name), given, AT_SYMLINK_NOFOLLOW), 'utimensat', name);
}

/** As {@link setTimesAt} for an open file. */
export function setTimesOfDescriptor(fd: number, accessNs: bigint, modifiedNs: bigint): void {
  checked(nativeFutimens(fd, timespecs(accessNs, modifiedNs)), 'futimens');
}

let linkBuffer: Buffer | undefined;

/** The target of a symbolic link, byte for byte. */
export function readLinkAt(directory: number, name: PathLike): Buffer {
  linkBuffer ??= Buffer.alloc(8192);
  const size = checked(
    nativeReadlinkat(directory, cString(name), linkBuffer, linkBuffer.length),
    'readlinkat',
    name,
  );
  return Buffer.from(linkBuffer.subarray(0, size));
}

/** Flags of renameat2(2). */
export const RENAME = { noReplace: 1, exchange: 2, whiteout: 4 } as const;

export function renameAt(
  fromDirectory: number,
  from: PathLike,
  directory: number,
  name: PathLike,
  flags = 0,
): void {
  const result = rawSyscall('renameat2', fromDirectory, cString(from), directory, cString(name), flags);
  if (result < 0) throw systemError(-result, 'renameat2', name);
}
