import { MS, mount, rawSyscall } from '../../store/kernel/index.ts';
import { systemError } from '../../store/kernel/libc.ts';

/** Attributes of mount_setattr(2). */
const ATTRIBUTE = {
  rdonly: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  noatime: 0x10,
  strictatime: 0x20,
  nodiratime: 0x80,
};
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const ENOSYS = 38;

/** Options of mount(8), sorted by what carries them out. */
export interface ParsedOptions {
  readonly recursive: boolean;
  /** {@link MS} flags that a new mount, or the remount of a bind, gets. */
  readonly flags: number;
  readonly propagation: number | undefined;
  /** For the file system itself, comma separated. */
  readonly data: string;
}

const SETS: Readonly<Record<string, number>> = {
  ro: MS.rdonly,
  nosuid: MS.nosuid,
  nodev: MS.nodev,
  noexec: MS.noexec,
  noatime: MS.noatime,
  nodiratime: MS.nodiratime,
  relatime: MS.relatime,
  strictatime: MS.strictatime,
};
const CLEARS: Readonly<Record<string, number>> = {
  rw: MS.rdonly,
  suid: MS.nosuid,
  dev: MS.nodev,
  exec: MS.noexec,
  atime: MS.noatime,
  diratime: MS.nodiratime,
};
const PROPAGATION: Readonly<Record<string, number>> = {
  private: MS.private,
  rprivate: MS.private | MS.rec,
  slave: MS.slave,
  rslave: MS.slave | MS.rec,
  shared: MS.shared,
  rshared: MS.shared | MS.rec,
  unbindable: MS.unbindable,
  runbindable: MS.unbindable | MS.rec,
};
/** Known words that need nothing done. */
const SILENT = new Set(['bind', 'rbind', 'defaults', 'norelatime', 'nostrictatime', 'async', 'tmpcopyup']);

export function parseOptions(options: readonly string[]): ParsedOptions {
  let flags = 0;
  let propagation: number | undefined;
  const data: string[] = [];
  for (const option of options) {
    const set = SETS[option];
    const clear = CLEARS[option];
    const spread = PROPAGATION[option];
    if (set !== undefined) flags |= set;
    else if (clear !== undefined) flags &= ~clear;
    else if (spread !== undefined) propagation = spread;
    else if (!SILENT.has(option)) data.push(option);
  }
  return { recursive: options.includes('rbind'), flags, propagation, data: data.join(',') };
}

/**
 * Adds restrictions to a mount that exists; those that it has stay. Kernels before 5.12 know no recursive change and
 * get one of the mount itself.
 * @param fd O_PATH descriptor of the mount's root
 */
export function restrictMount(fd: number, flags: number, recursive: boolean): void {
  let attributes = 0;
  for (const name of ['rdonly', 'nosuid', 'nodev', 'noexec', 'nodiratime'] as const)
    if (flags & MS[name]) attributes |= ATTRIBUTE[name];
  if (attributes === 0) return;
  const request = Buffer.alloc(32);
  request.writeUInt32LE(attributes, 0);
  const how = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  const result = rawSyscall('mountSetattr', fd, Buffer.from('\0'), how, request, request.length);
  if (result === -ENOSYS) mount(undefined, `/proc/self/fd/${fd}`, undefined, MS.remount | MS.bind | flags);
  else if (result < 0) throw systemError(-result, 'mount_setattr');
}
