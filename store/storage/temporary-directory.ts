import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { ifThere, isSystemError } from '../../errors.ts';
import { tryLock } from '../kernel/lock.ts';
import { randomBytes } from '../kernel/random.ts';
import { removeTree } from './remove-tree.ts';

/**
 * A directory on the same file system for trees that are not yet, or no longer, part of the store, as
 * containers/storage internal/tempdir: `<root>/temp-dir-N` lives while somebody holds a lock on `<root>/lock-N`;
 * one whose maker died is removed by the next writer of any tool.
 */
export class TemporaryDirectory implements AsyncDisposable {
  readonly path: string;
  readonly #lockPath: string;
  #fd: number | undefined;
  #count = 0;

  /** @throws a system error where `root` cannot be written */
  constructor(root: string) {
    mkdirSync(root, { recursive: true, mode: 0o700 });
    const { fd, number } = createLocked(root);
    this.#fd = fd;
    this.#lockPath = join(root, `lock-${number}`);
    this.path = join(root, `temp-dir-${number}`);
    mkdirSync(this.path, { mode: 0o700 });
  }

  /** A fresh path inside; nothing is there yet. */
  next(name = 'addition'): string {
    this.#count += 1;
    return join(this.path, `${this.#count - 1}-${name}`);
  }

  /** Moves a path here to be removed with the rest. False when there is nothing at `path`. */
  take(path: string): boolean {
    try {
      renameSync(path, this.next(basename(path)));
      return true;
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return false;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    try {
      await removeTree(this.path);
    } finally {
      rmSync(this.#lockPath, { force: true });
      closeSync(fd);
      held.delete(this.#lockPath);
    }
  }
}

/** Lock files of this process: trying them again through another descriptor would say they are taken, but save the call. */
const held = new Set<string>();

function createLocked(root: string): { fd: number; number: string } {
  for (;;) {
    const number = String(randomBytes(4).readUInt32LE());
    const path = join(root, `lock-${number}`);
    let fd: number;
    try {
      fd = openSync(path, 'wx+', 0o600);
    } catch (error) {
      if (isSystemError(error, 'EEXIST')) continue;
      throw error;
    }
    // Whoever cleans up may have taken the file for a stale one before it was locked.
    if (tryLock(fd, 'write') && statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) {
      held.add(path);
      return { fd, number };
    }
    closeSync(fd);
  }
}

/** Removes the temporary directories below `root` whose makers are gone. */
export async function removeStaleTemporaryDirectories(root: string): Promise<void> {
  for (const number of numbersIn(root)) {
    const lockPath = join(root, `lock-${number}`);
    if (held.has(lockPath)) continue;
    const fd = openSync(lockPath, 'a+', 0o600);
    try {
      if (!tryLock(fd, 'write')) continue;
      await removeTree(join(root, `temp-dir-${number}`));
      rmSync(lockPath, { force: true });
    } finally {
      closeSync(fd);
    }
  }
}

function numbersIn(root: string): Set<string> {
  const numbers = new Set<string>();
  for (const name of ifThere(() => readdirSync(root), 'ENOENT') ?? []) {
    const match = /^(?:temp-dir|lock)-(.+)$/.exec(name);
    if (match) numbers.add(match[1]!);
  }
  return numbers;
}
