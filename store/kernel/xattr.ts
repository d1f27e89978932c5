import { checked, cString, lastErrno, libcFunction, type PathLike, systemError } from './libc.ts';

const LIMIT_BYTES = 65536;
const ENODATA = 61;
const ENOTSUP = 95;
const ERANGE = 34;

const lset = libcFunction('lsetxattr', 'int', ['void*', 'void*', 'void*', 'size_t', 'int']);
const fset = libcFunction('fsetxattr', 'int', ['int', 'void*', 'void*', 'size_t', 'int']);
const lget = libcFunction('lgetxattr', 'intptr_t', ['void*', 'void*', 'void*', 'size_t']);
const fget = libcFunction('fgetxattr', 'intptr_t', ['int', 'void*', 'void*', 'size_t']);
const llist = libcFunction('llistxattr', 'intptr_t', ['void*', 'void*', 'size_t']);
const flist = libcFunction('flistxattr', 'intptr_t', ['int', 'void*', 'size_t']);
const lremove = libcFunction('lremovexattr', 'int', ['void*', 'void*']);
const fremove = libcFunction('fremovexattr', 'int', ['int', 'void*']);

let scratch: Buffer | undefined;

/** The attributes of a file: a path (a final symlink is not followed) or an open descriptor. */
export type XattrTarget = PathLike | number;

/** Sets an extended attribute. @throws `ENOTSUP`, `EPERM`, `E2BIG`, `ENOSPC` */
export function setXattr(target: XattrTarget, name: PathLike, value: PathLike): void {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  const memory = bytes.length === 0 ? null : bytes;
  if (typeof target === 'number')
    checked(fset(target, cString(name), memory, bytes.length, 0), 'fsetxattr', name);
  else checked(lset(cString(target), cString(name), memory, bytes.length, 0), 'lsetxattr', target);
}

/** An extended attribute; undefined where the file has none of this name or its file system has none at all. */
export function getXattr(target: XattrTarget, name: PathLike): Buffer | undefined {
  scratch ??= Buffer.alloc(LIMIT_BYTES);
  const onDescriptor = typeof target === 'number';
  const size = onDescriptor
    ? fget(target, cString(name), scratch, scratch.length)
    : lget(cString(target), cString(name), scratch, scratch.length);
  if (size >= 0) return Buffer.from(scratch.subarray(0, size));
  const errno = lastErrno();
  if (errno === ENODATA || errno === ENOTSUP) return undefined;
  throw systemError(errno, 'lgetxattr', onDescriptor ? name : target);
}

/** The names of a file's extended attributes in the kernel's order; none where the file system has none. */
export function listXattrs(target: XattrTarget): string[] {
  scratch ??= Buffer.alloc(LIMIT_BYTES);
  const onDescriptor = typeof target === 'number';
  const size = onDescriptor
    ? flist(target, scratch, scratch.length)
    : llist(cString(target), scratch, scratch.length);
  if (size === 0) return [];
  if (size < 0) {
    const errno = lastErrno();
    if (errno === ENOTSUP) return [];
    throw systemError(errno === ERANGE ? 7 : errno, 'llistxattr', onDescriptor ? undefined : target);
  }
  return scratch.toString('utf8', 0, size - 1).split('\0');
}

/** Removes an extended attribute. @throws `ENODATA` where there is none */
export function removeXattr(target: XattrTarget, name: PathLike): void {
  if (typeof target === 'number') checked(fremove(target, cString(name)), 'fremovexattr', name);
  else checked(lremove(cString(target), cString(name)), 'lremovexattr', target);
}
