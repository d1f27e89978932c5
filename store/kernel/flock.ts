import { setTimeout as delay } from 'node:timers/promises';
import { lastErrno, libcFunction, systemError } from './libc.ts';

const EXCLUSIVE_WITHOUT_WAITING = 2 | 4;
const EAGAIN = 11;
const EINTR = 4;
const RETRY_MS = 10;

const nativeFlock = libcFunction('flock', 'int', ['int', 'int']);

/**
 * Waits for an exclusive flock(2) without blocking the event loop: it is tried every 10 ms. It is of another kind than
 * the locks of lock.ts, and the two do not see each other.
 * @throws the signal's reason
 */
export async function lockWithFlock(fd: number, signal?: AbortSignal): Promise<void> {
  for (;;) {
    signal?.throwIfAborted();
    if (nativeFlock(fd, EXCLUSIVE_WITHOUT_WAITING) === 0) return;
    const errno = lastErrno();
    if (errno !== EAGAIN && errno !== EINTR) throw systemError(errno, 'flock');
    if (errno === EAGAIN) await delay(RETRY_MS);
  }
}
