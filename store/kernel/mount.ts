import { checked, cString, libcFunction, type PathLike } from './libc.ts';

/** Flags of mount(2). */
export const MS = {
  rdonly: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  remount: 32,
  noatime: 1024,
  nodiratime: 2048,
  bind: 4096,
  move: 8192,
  rec: 16384,
  silent: 32768,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relatime: 1 << 21,
  strictatime: 1 << 24,
} as const;

/** Flags of umount2(2). */
export const MNT = { force: 1, detach: 2, expire: 4, noFollow: 8 } as const;

const nativeMount = libcFunction('mount', 'int', ['void*', 'void*', 'void*', 'unsigned long', 'void*']);
const nativeUmount = libcFunction('umount2', 'int', ['void*', 'int']);

/**
 * mount(2). `source` and `type` may be absent for remounts and propagation changes.
 * @param data file system options such as `lowerdir=...`, at most one page
 * @throws a system error whose `path` is the target
 */
export function mount(
  source: PathLike | undefined,
  target: PathLike,
  type?: string,
  flags = 0,
  data?: PathLike,
): void {
  const result = nativeMount(
    source === undefined ? null : cString(source),
    cString(target),
    type === undefined ? null : cString(type),
    flags,
    data === undefined ? null : cString(data),
  );
  checked(result, 'mount', target);
}

/** umount2(2). @throws a system error: `EINVAL` where nothing is mounted, `EBUSY` where it is in use */
export function unmount(target: PathLike, flags = 0): void {
  checked(nativeUmount(cString(target), flags), 'umount2', target);
}
