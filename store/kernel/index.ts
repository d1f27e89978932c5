export * from './at.ts';
export { cloneFile, copyFileContents } from './copy.ts';
export { cString, type PathLike, showPath, systemError } from './libc.ts';
export { type LockKind, type LockType, lock, tryLock } from './lock.ts';
export { MNT, MS, mount, unmount } from './mount.ts';
export { dispose, passed, singleUse } from './passing-bytes.ts';
export * from './process.ts';
export {
  type DirectoryEntry,
  type FileStatus,
  readDirectory,
  S_IF,
  statAt,
  statAtIfExists,
  statDescriptor,
} from './stat.ts';
export { ioctl, rawSyscall, SYSCALL, type SyscallName } from './syscall.ts';
export { workerUrl } from './worker-url.ts';
export { getXattr, listXattrs, removeXattr, setXattr, type XattrTarget } from './xattr.ts';
