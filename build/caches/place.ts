import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { lock, tryLock } from '../../store/kernel/lock.ts';
import { BuildError } from '../error.ts';

/** Names of Buildah's own, so that both keep out of each other's way. */
const LOCKS = 'buildah-cache-lockfiles';
const LOCK = 'buildah-cache-lockfile';
/** Held for reading by every RUN that has the cache mounted, shared ones too, which take no lock of Buildah's. */
const USE_LOCK = 'slipway-use-lockfile';
const ABOUT = 'slipway-cache.json';
const ABOUT_LIMIT_BYTES = 64 * 1024;

/** What a cache mount is found by. */
export interface CacheIdentity {
  /** `id=`, else the target. */
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The first 16 digits of a digest, as Buildah names its cache directories. */
export function cacheKey(name: string, uid: number, gid: number): string {
  return createHash('sha256').update(`${name}:${uid}:${gid}`).digest('hex').slice(0, 16);
}

export const isCacheKey = (text: string): boolean => /^[0-9a-f]{16}$/.test(text);

/**
 * Makes the directory of caches where it is missing.
 * @throws BuildError `unsafe-path` where it is somebody else's: its name is known to everybody, and it may stand where all may write
 */
export function openCaches(parent: string): void {
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const status = lstatSync(parent);
  if (status.isDirectory() && status.uid === process.geteuid?.()) return;
  throw new BuildError('unsafe-path', `the directory of cache mounts ${parent} belongs to somebody else`, {
    hint: 'remove it, or set TMPDIR to a directory of your own',
  });
}

/** Locks of one cache, dropped when disposed. */
export class CacheLocks implements Disposable {
  readonly #directory: string;
  readonly #open: number[] = [];

  constructor(parent: string, key: string) {
    this.#directory = join(parent, LOCKS, key);
    mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
  }

  /** The lock of `sharing=locked` and `private`. */
  async own(signal: AbortSignal | undefined): Promise<void> {
    await lock(this.#file(LOCK), 'write', { signal });
  }

  /** False where another RUN has it. */
  tryOwn(): boolean {
    return tryLock(this.#file(LOCK), 'write');
  }

  /** A RUN has the cache mounted from now on. Take Buildah's lock first. */
  async use(signal: AbortSignal | undefined): Promise<void> {
    const fd = this.#file(USE_LOCK);
    await lock(fd, 'read', { signal });
    const now = new Date();
    futimesSync(fd, now, now);
  }

  /** Waits until no RUN has the cache mounted, and keeps others from doing so. */
  async exclude(signal: AbortSignal | undefined): Promise<void> {
    await this.own(signal);
    await lock(this.#file(USE_LOCK), 'write', { signal });
  }

  /** False where some RUN has the cache mounted. */
  tryExclude(): boolean {
    return this.tryOwn() && tryLock(this.#file(USE_LOCK), 'write');
  }

  /** When a RUN last mounted the cache; undefined: not since this was noted. */
  lastUsed(): Date | undefined {
    return lstatSync(join(this.#directory, USE_LOCK), { throwIfNoEntry: false })?.mtime;
  }

  describe(identity: CacheIdentity): void {
    const path = join(this.#directory, ABOUT);
    if (this.about()) return;
    const temporary = `${path}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify(identity), { mode: 0o600 });
    renameSync(temporary, path);
  }

  /** Undefined for a cache of Buildah's. */
  about(): CacheIdentity | undefined {
    try {
      const path = join(this.#directory, ABOUT);
      if (lstatSync(path).size > ABOUT_LIMIT_BYTES) return undefined;
      const { name, uid, gid } = JSON.parse(readFileSync(path, 'utf8')) as Partial<CacheIdentity>;
      return typeof name === 'string' && typeof uid === 'number' && typeof gid === 'number'
        ? { name, uid, gid }
        : undefined;
    } catch (error) {
      if (isSystemError(error, 'ENOENT') || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.splice(0)) closeSync(fd);
  }

  #file(name: string): number {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const fd = openSync(join(this.#directory, name), flags, 0o600);
    this.#open.push(fd);
    return fd;
  }
}
