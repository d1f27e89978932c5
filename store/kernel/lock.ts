import { setTimeout as delay } from 'node:timers/promises';
import { lastErrno, libcFunction, systemError } from './libc.ts';

export type LockType = 'read' | 'write' | 'unlock';

/**
 * `open-file` locks belong to the open file description: other descriptors of the same file in this process do not
 * disturb them. `process` locks are POSIX record locks, which the process loses when it closes any descriptor of the
 * file. Both kinds exclude each other and the locks of Podman and Buildah (fcntl(2), open file description locks).
 */
export type LockKind = 'open-file' | 'process';

const TYPE = { read: 0, write: 1, unlock: 2 } as const;
const F_SETLK = { process: 6, 'open-file': 37 } as const;
const EAGAIN = 11;
const EACCES = 13;
const EINTR = 4;
const RETRY_MS = 10;

const nativeFcntl = libcFunction('fcntl', 'int', ['int', 'int', 'void*']);

/** Takes or drops a lock on the whole file. False where somebody else holds a conflicting one. */
export function tryLock(fd: number, type: LockType, kind: LockKind = 'open-file'): boolean {
  const flock = Buffer.alloc(32);
  flock.writeInt16LE(TYPE[type], 0);
  for (;;) {
    if (nativeFcntl(fd, F_SETLK[kind], flock) !== -1) return true;
    const errno = lastErrno();
    if (errno === EAGAIN || errno === EACCES) return false;
    if (errno !== EINTR) throw systemError(errno, 'fcntl');
  }
}

/**
 * Waits for a lock on the whole file without blocking the event loop: it is tried every 10 ms.
 * @throws the signal's reason
 */
export async function lock(
  fd: number,
  type: LockType,
  options: { readonly kind?: LockKind; readonly signal?: AbortSignal } = {},
): Promise<void> {
  for (;;) {
    options.signal?.throwIfAborted();
    if (tryLock(fd, type, options.kind)) return;
    await delay(RETRY_MS);
  }
}
