import { StoreError } from '../error.ts';
import { type Argument, checked, lastErrno, libcFunction } from './libc.ts';

/** Numbers of system calls that the C libraries lack, or that must act on one thread alone (x86-64, arm64 and newer). */
export const SYSCALL = {
  getdents64: { x64: 217, generic: 61 },
  renameat2: { x64: 316, generic: 276 },
  statx: { x64: 332, generic: 291 },
  openat2: { x64: 437, generic: 437 },
  capget: { x64: 125, generic: 90 },
  capset: { x64: 126, generic: 91 },
  setgroups: { x64: 116, generic: 159 },
  setresuid: { x64: 117, generic: 147 },
  setresgid: { x64: 119, generic: 149 },
  seccomp: { x64: 317, generic: 277 },
  pidfdOpen: { x64: 434, generic: 434 },
  openTree: { x64: 428, generic: 428 },
  moveMount: { x64: 429, generic: 429 },
  fsopen: { x64: 430, generic: 430 },
  fsconfig: { x64: 431, generic: 431 },
  fsmount: { x64: 432, generic: 432 },
  mountSetattr: { x64: 442, generic: 442 },
  gettid: { x64: 186, generic: 178 },
  keyctl: { x64: 250, generic: 219 },
  pivotRoot: { x64: 155, generic: 41 },
  closeRange: { x64: 436, generic: 436 },
} as const;
export type SyscallName = keyof typeof SYSCALL;

/** How many arguments a call has and which of them are memory or null, as bits above a leading 1. */
type Shape = number;
const shapes = new Map<Shape, ReturnType<typeof libcFunction>>();

function numberOf(name: SyscallName): number {
  if (process.arch === 'x64') return SYSCALL[name].x64;
  if (['arm64', 'riscv64', 'loong64'].includes(process.arch)) return SYSCALL[name].generic;
  throw new StoreError('unsupported', `the system call ${name} is not known on ${process.arch}`);
}

/**
 * A raw system call of the calling thread: unlike the C library's wrappers, changes of ids apply to this thread
 * alone. Gives the result, or the negated errno.
 */
export function rawSyscall(name: SyscallName, ...values: Argument[]): number {
  let shape: Shape = 1;
  for (const value of values) shape = (shape << 1) | (typeof value === 'object' ? 1 : 0);
  let native = shapes.get(shape);
  if (!native) {
    const parameters = values.map((value) => (typeof value === 'object' ? 'void*' : 'long'));
    native = libcFunction('syscall', 'long', ['long', ...parameters]);
    shapes.set(shape, native);
  }
  const result = native(numberOf(name), ...values);
  return result === -1 ? -lastErrno() : result;
}

const nativeIoctl = libcFunction('ioctl', 'int', ['int', 'unsigned long', 'void*']);
const nativeIoctlValue = libcFunction('ioctl', 'int', ['int', 'unsigned long', 'long']);

/** ioctl(2) with memory or an integer as its argument. */
export function ioctl(fd: number, request: number, argument: Uint8Array | number): number {
  if (typeof argument === 'number') return checked(nativeIoctlValue(fd, request, argument), 'ioctl');
  return checked(nativeIoctl(fd, request, argument), 'ioctl');
}
