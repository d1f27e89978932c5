import { closeSync } from 'node:fs';
import { StoreError } from '../../error.ts';
import { AT_FDCWD } from '../../kernel/at.ts';
import { cString, systemError } from '../../kernel/libc.ts';
import { MS } from '../../kernel/mount.ts';
import { rawSyscall } from '../../kernel/syscall.ts';
import type { OverlayMount } from './mount.ts';

const CLOEXEC = 1;
const SET_FLAG = 0;
const SET_STRING = 1;
const CREATE = 6;
const MOVE_EMPTY_PATH = 4;
const EINVAL = 22;
const ENOSYS = 38;
const ATTRIBUTES = MS.rdonly | MS.nosuid | MS.nodev | MS.noexec;
const ATTRIBUTE_NOATIME = 0x10;

/**
 * Mounts an overlay by fsopen(2), fsconfig(2), fsmount(2), one lower directory at a time (`lowerdir+`, Linux 6.7), so
 * that no page limits their number.
 * @throws StoreError `unsupported` where the kernel lacks it, a system error otherwise
 */
export function mountByParts(job: OverlayMount, flags: number, words: readonly string[]): void {
  const context = call('fsopen', job.target, cString('overlay'), CLOEXEC);
  try {
    configure(context, job, words);
    const attributes = (flags & ATTRIBUTES) | (flags & MS.noatime ? ATTRIBUTE_NOATIME : 0);
    const mounted = call('fsmount', job.target, context, CLOEXEC, attributes);
    try {
      call('moveMount', job.target, mounted, cString(''), AT_FDCWD, cString(job.target), MOVE_EMPTY_PATH);
    } finally {
      closeSync(mounted);
    }
  } finally {
    closeSync(context);
  }
}

function configure(context: number, job: OverlayMount, words: readonly string[]): void {
  const place = (path: string) => (path.startsWith('/') ? path : `${job.home}/${path}`);
  const set = (key: string, value: string) =>
    call('fsconfig', job.target, context, SET_STRING, cString(key), cString(value), 0);
  for (const lower of job.lowers) {
    const path = cString(place(lower));
    const result = rawSyscall('fsconfig', context, SET_STRING, cString('lowerdir+'), path, 0);
    if (result === -EINVAL) throw tooMany(job);
    if (result < 0) throw systemError(-result, 'fsconfig', place(lower));
  }
  if (job.upper !== undefined && job.work !== undefined) {
    set('upperdir', place(job.upper));
    set('workdir', place(job.work));
  }
  if (job.mountLabel) set('context', job.mountLabel);
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals < 0) call('fsconfig', job.target, context, SET_FLAG, cString(word), null, 0);
    else set(word.slice(0, equals), word.slice(equals + 1));
  }
  call('fsconfig', job.target, context, CREATE, null, null, 0);
}

function call(
  name: 'fsopen' | 'fsconfig' | 'fsmount' | 'moveMount',
  target: string,
  ...values: Parameters<typeof rawSyscall> extends [unknown, ...infer Rest] ? Rest : never
): number {
  const result = rawSyscall(name, ...values);
  if (result === -ENOSYS)
    throw new StoreError('unsupported', `mounting ${target}: the kernel has no ${name}`);
  if (result < 0) throw systemError(-result, name, target);
  return result;
}

function tooMany(job: OverlayMount): StoreError {
  return new StoreError(
    'unsupported',
    `mounting ${job.target}: ${job.lowers.length} layers do not fit one mount call`,
    {
      hint: 'squash the image to fewer layers, or use Linux 6.7 or newer',
    },
  );
}
