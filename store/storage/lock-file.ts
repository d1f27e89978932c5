import { closeSync, constants, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { tryLock } from '../kernel/lock.ts';
import { randomBytes } from '../kernel/random.ts';
import { ReadWriteMutex } from './read-write-mutex.ts';

/** The content of a lock file: names the last writer. Empty while nobody has written. */
export type LastWrite = Buffer;

const LAST_WRITE_BYTES = 64;
const FIRST_RETRY_MS = 1;
const LAST_RETRY_MS = 10;

/** What a holder may do; valid until {@link LockHold.release}. */
export interface LockHold {
  readonly kind: 'read' | 'write';
  lastWrite(): LastWrite;
  /** Tells every other party that the data behind the lock changes; called before the data is written. */
  recordWrite(): LastWrite;
  release(): void;
}

/** What databases lock: a file, or two at once. */
export interface StoreLock {
  readonly readOnly: boolean;
  acquire(kind: 'read' | 'write', signal?: AbortSignal): Promise<LockHold>;
}

const locks = new Map<string, LockFile>();

/**
 * The lock of a path, one per process, as containers/storage pkg/lockfile: fcntl locks between processes and a mutex
 * within this one. The descriptor is open only while the lock is held, so a replaced lock file is noticed. The lock is
 * of the open file description, which excludes Podman's record locks and survives other descriptors being closed.
 */
export function lockFileAt(path: string, options: { readonly readOnly?: boolean } = {}): LockFile {
  const readOnly = options.readOnly ?? false;
  const key = `${readOnly ? 'read' : 'write'} ${resolve(path)}`;
  let lock = locks.get(key);
  if (lock === undefined) {
    lock = new LockFile(resolve(path), readOnly);
    locks.set(key, lock);
  }
  return lock;
}

export class LockFile implements StoreLock {
  readonly path: string;
  readonly readOnly: boolean;
  readonly #mutex = new ReadWriteMutex();
  #holders = 0;
  #opening: Opening | undefined;
  #fd: number | undefined;

  constructor(path: string, readOnly: boolean) {
    this.path = path;
    this.readOnly = readOnly;
  }

  /** @throws StoreError `locked` for a write lock of a read-only store, `system` when the file cannot be opened */
  async acquire(kind: 'read' | 'write', signal?: AbortSignal): Promise<LockHold> {
    if (kind === 'write' && this.readOnly)
      throw new StoreError('locked', `${this.path} belongs to a read-only store, which cannot be written`);
    const unlockMutex = await this.#mutex.acquire(kind, signal);
    this.#holders += 1;
    try {
      this.#opening ??= this.#startOpening(kind);
      const fd = await unlessAborted(this.#opening.fd, signal);
      return this.#hold(kind, fd, unlockMutex);
    } catch (error) {
      this.#drop();
      unlockMutex();
      throw error;
    }
  }

  #hold(kind: 'read' | 'write', fd: number, unlockMutex: () => void): LockHold {
    let held = true;
    return {
      kind,
      lastWrite: () => readLastWrite(fd),
      recordWrite: () => {
        if (kind !== 'write' || !held) throw new Error(`${this.path} is not held for writing`);
        return writeLastWrite(fd, this.path);
      },
      release: () => {
        if (!held) return;
        held = false;
        this.#drop();
        unlockMutex();
      },
    };
  }

  #drop(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    this.#opening?.abandon?.abort();
    this.#opening = undefined;
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** Shared by readers of this process, hence not bound to the signal of one of them. */
  #startOpening(kind: 'read' | 'write'): Opening {
    const fd = openLockFile(this.path, this.readOnly);
    try {
      if (tryLock(fd, kind)) {
        this.#fd = fd;
        return { fd: Promise.resolve(fd) };
      }
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    const abandon = new AbortController();
    const waiting = this.#wait(fd, kind, abandon.signal);
    waiting.catch(() => {});
    return { fd: waiting, abandon };
  }

  async #wait(fd: number, kind: 'read' | 'write', abandoned: AbortSignal): Promise<number> {
    try {
      await waitForLock(fd, kind, abandoned);
      this.#fd = fd;
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }
}

/** A lock file on its way to being held; `abandon` while another process has it. */
interface Opening {
  readonly fd: Promise<number>;
  readonly abandon?: AbortController;
}

/** Two locks taken in this order, as the original does where images live in a graph root of their own. */
export function bothLocks(first: StoreLock, second: StoreLock): StoreLock {
  return {
    readOnly: first.readOnly || second.readOnly,
    async acquire(kind, signal) {
      const a = await first.acquire(kind, signal);
      try {
        const b = await second.acquire(kind, signal);
        return {
          kind,
          lastWrite: () => Buffer.concat([a.lastWrite(), b.lastWrite()]),
          recordWrite: () => Buffer.concat([a.recordWrite(), b.recordWrite()]),
          release: () => {
            b.release();
            a.release();
          },
        };
      } catch (error) {
        a.release();
        throw error;
      }
    },
  };
}

function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

async function waitForLock(fd: number, kind: 'read' | 'write', signal: AbortSignal): Promise<void> {
  for (let pauseMs = FIRST_RETRY_MS; ; pauseMs = Math.min(pauseMs * 2, LAST_RETRY_MS)) {
    // Looked at before every try: a lock taken for somebody who left would never be given back.
    signal.throwIfAborted();
    if (tryLock(fd, kind)) return;
    await delay(pauseMs);
  }
}

function openLockFile(path: string, readOnly: boolean): number {
  const flags = readOnly ? constants.O_RDONLY : constants.O_RDWR | constants.O_CREAT;
  try {
    return openSync(path, flags, 0o644);
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT') && !readOnly) {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      return openSync(path, flags, 0o644);
    }
    // Nobody can write a store on a read-only file system, so there is nobody to lock out either.
    if (isSystemError(cause, 'ENOENT', 'EROFS') && readOnly) return openSync('/dev/null', 'r');
    throw new StoreError('system', `opening the lock file ${path}: ${(cause as Error).message}`, { cause });
  }
}

function readLastWrite(fd: number): LastWrite {
  const bytes = Buffer.alloc(LAST_WRITE_BYTES);
  return bytes.subarray(0, readSync(fd, bytes, 0, LAST_WRITE_BYTES, 0));
}

let writes = 0;

/** Time, counter, pid and random bytes, as containers/storage lays them out; only equality is ever looked at. */
function writeLastWrite(fd: number, path: string): LastWrite {
  const bytes = Buffer.alloc(LAST_WRITE_BYTES);
  writes += 1;
  bytes.writeBigUInt64LE(process.hrtime.bigint(), 0);
  bytes.writeBigUInt64LE(BigInt(writes), 8);
  bytes.writeUInt32LE(process.pid, 16);
  randomBytes(LAST_WRITE_BYTES - 20).copy(bytes, 20);
  let written = 0;
  let cause: unknown;
  try {
    written = writeSync(fd, bytes, 0, LAST_WRITE_BYTES, 0);
  } catch (error) {
    cause = error;
  }
  if (written === LAST_WRITE_BYTES) return bytes;
  const why = cause instanceof Error ? cause.message : 'the disk is full';
  throw new StoreError('system', `recording the last writer in ${path}: ${why}`, {
    cause,
    hint: 'free some disk space and try again',
  });
}
