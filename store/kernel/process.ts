import { checked, cString, libcFunction, type PathLike, systemError } from './libc.ts';
import { rawSyscall } from './syscall.ts';

/** Flags of unshare(2) and types of setns(2). */
export const CLONE = {
  fs: 0x200,
  newTime: 0x80,
  newNs: 0x20000,
  newCgroup: 0x2000000,
  newUts: 0x4000000,
  newIpc: 0x8000000,
  newUser: 0x10000000,
  newPid: 0x20000000,
  newNet: 0x40000000,
} as const;

/** Operations of prctl(2). */
export const PR = {
  setPdeathsig: 1,
  setDumpable: 4,
  setKeepCaps: 8,
  setName: 15,
  capbsetRead: 23,
  capbsetDrop: 24,
  setSecurebits: 28,
  setChildSubreaper: 36,
  setNoNewPrivs: 38,
  capAmbient: 47,
} as const;

const nativeUnshare = libcFunction('unshare', 'int', ['int']);
const nativeSetns = libcFunction('setns', 'int', ['int', 'int']);
const nativeChroot = libcFunction('chroot', 'int', ['void*']);
const nativeChdir = libcFunction('chdir', 'int', ['void*']);
const nativeFchdir = libcFunction('fchdir', 'int', ['int']);
const nativePrctl = libcFunction('prctl', 'int', ['int', 'long', 'long', 'long', 'long']);
const nativeExecute = libcFunction('execve', 'int', ['void*', 'const char **', 'const char **']);
const nativeControl = libcFunction('fcntl', 'int', ['int', 'int', 'int']);
const nativeExit = libcFunction('_exit', 'void', ['int']);
const CONTROL = { setDescriptorFlags: 2, getStatusFlags: 3, setStatusFlags: 4 } as const;
const NON_BLOCKING = 0o4000;
const nativeSignal = libcFunction('signal', 'intptr_t', ['int', 'intptr_t']);
const nativeUmask = libcFunction('umask', 'unsigned int', ['unsigned int']);
const nativeSethostname = libcFunction('sethostname', 'int', ['void*', 'size_t']);

/** Ends this process without another turn of the event loop, which a filter of system calls may forbid. */
export function exitAtOnce(code: number): void {
  nativeExit(code);
}

/**
 * execve(2), which descriptors 0 to 2 survive, blocking. Node's own ends the process where the kernel refuses the
 * program, and leaves standard error not blocking.
 * @param environment `NAME=value`
 * @throws a system error: `ENOENT`, `EACCES`, `ENOEXEC`
 */
export function execute(file: PathLike, words: readonly string[], environment: readonly string[]): never {
  for (const fd of [0, 1, 2]) {
    nativeControl(fd, CONTROL.setDescriptorFlags, 0);
    nativeControl(fd, CONTROL.setStatusFlags, nativeControl(fd, CONTROL.getStatusFlags, 0) & ~NON_BLOCKING);
  }
  checked(nativeExecute(cString(file), [...words, null], [...environment, null]), 'execve', file);
  throw new Error('execve returned');
}

/** Gives a signal of this process its default effect back. */
export function restoreSignal(number: number): void {
  nativeSignal(number, 0);
}

/** unshare(2) for the calling thread. CLONE_NEWUSER needs a process of one thread. */
export function unshare(flags: number): void {
  checked(nativeUnshare(flags), 'unshare');
}

/** setns(2) for the calling thread. */
export function setNamespace(fd: number, type = 0): void {
  checked(nativeSetns(fd, type), 'setns');
}

/** chroot(2); affects every thread that shares its file system state (see CLONE.fs). Does not change directory. */
export function changeRoot(path: PathLike): void {
  checked(nativeChroot(cString(path)), 'chroot', path);
}

/** chdir(2) for the calling thread; unlike `process.chdir` it is allowed in workers. */
export function changeDirectory(path: PathLike | number): void {
  if (typeof path === 'number') checked(nativeFchdir(path), 'fchdir');
  else checked(nativeChdir(cString(path)), 'chdir', path);
}

/** pivot_root(2). */
export function pivotRoot(newRoot: PathLike, putOld: PathLike): void {
  const result = rawSyscall('pivotRoot', cString(newRoot), cString(putOld));
  if (result < 0) throw systemError(-result, 'pivot_root', newRoot);
}

/** prctl(2) of the calling thread. Gives the call's result. */
export function processControl(operation: number, a = 0, b = 0, c = 0, d = 0): number {
  return checked(nativePrctl(operation, a, b, c, d), 'prctl');
}

/** umask(2), shared by threads that share file system state. Gives the old mask. */
export function setFileCreationMask(mask: number): number {
  return nativeUmask(mask);
}

export function setHostname(name: string): void {
  const bytes = cString(name);
  checked(nativeSethostname(bytes, bytes.length - 1), 'sethostname');
}

/** setgroups(2) for the calling thread alone. */
export function setThreadGroups(groups: readonly number[]): void {
  const bytes = Buffer.alloc(Math.max(4, groups.length * 4));
  for (const [index, group] of groups.entries()) bytes.writeUInt32LE(group, index * 4);
  const result = rawSyscall('setgroups', groups.length, bytes);
  if (result < 0) throw systemError(-result, 'setgroups');
}

/** setresgid(2) for the calling thread alone: real, effective and saved group. */
export function setThreadGroup(gid: number): void {
  const result = rawSyscall('setresgid', gid, gid, gid);
  if (result < 0) throw systemError(-result, 'setresgid');
}

/** setresuid(2) for the calling thread alone: real, effective and saved user. */
export function setThreadUser(uid: number): void {
  const result = rawSyscall('setresuid', uid, uid, uid);
  if (result < 0) throw systemError(-result, 'setresuid');
}

/** The effective capabilities of the calling thread as a bit set (bit n is capability n of linux/capability.h). */
export function effectiveCapabilities(): bigint {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(0x20080522, 0);
  const data = Buffer.alloc(24);
  const result = rawSyscall('capget', header, data);
  if (result < 0) throw systemError(-result, 'capget');
  return BigInt(data.readUInt32LE(0)) | (BigInt(data.readUInt32LE(12)) << 32n);
}

/** capset(2): the three capability sets of the calling thread. */
export function setCapabilities(effective: bigint, permitted: bigint, inheritable: bigint): void {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(0x20080522, 0);
  const data = Buffer.alloc(24);
  for (const [index, set] of [effective, permitted, inheritable].entries()) {
    data.writeUInt32LE(Number(set & 0xffffffffn), index * 4);
    data.writeUInt32LE(Number(set >> 32n), 12 + index * 4);
  }
  const result = rawSyscall('capset', header, data);
  if (result < 0) throw systemError(-result, 'capset');
}
