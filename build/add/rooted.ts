import { closeSync, readSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import {
  closeDescriptor,
  type FileStatus,
  OPEN,
  openAt,
  openAt2,
  RESOLVE,
  readDirectory,
  readLinkAt,
  S_IF,
  statAtIfExists,
  statDescriptor,
} from '../../store/kernel/index.ts';
import { BuildError } from '../error.ts';

/** A path below a root, as bytes in a latin1 string, so that names which are no UTF-8 survive. */
export type BytePath = string;

export const toBytes = (path: BytePath): Buffer => Buffer.from(path, 'latin1');
export const fromBytes = (bytes: Uint8Array): BytePath => viewOf(bytes).toString('latin1');
export const fromText = (text: string): BytePath => Buffer.from(text, 'utf8').toString('latin1');
export const toText = (path: BytePath): string => Buffer.from(path, 'latin1').toString('utf8');

/** The same bytes with a Buffer's methods, not copied. */
export function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * A directory that is treated as `/`: absolute links and `..` inside it stay inside, by openat2(RESOLVE_IN_ROOT) on
 * a held descriptor, so that nothing which changes paths meanwhile leads out (SECURITY I1, I2).
 */
export class RootedDirectory implements Disposable {
  readonly fd: number;

  constructor(path: string) {
    try {
      this.fd = openAt(-100, path, OPEN.path | OPEN.directory);
    } catch (cause) {
      throw new BuildError('bad-context', `opening directory ${path}: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  [Symbol.dispose](): void {
    closeDescriptor(this.fd);
  }

  /** Opens what a path leads to, following links inside the root; undefined where there is nothing. */
  open(path: BytePath, flags: number): number | undefined {
    try {
      return openAt2(
        this.fd,
        toBytes(path === '' ? '.' : path),
        flags,
        RESOLVE.inRoot | RESOLVE.noMagicLinks,
      );
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
      if (isSystemError(error, 'ELOOP')) throw tooManyLinks(path, error);
      throw error;
    }
  }

  /** The status of a path with its last link followed, or not. */
  status(path: BytePath, followLast: boolean): FileStatus | undefined {
    const fd = this.open(path, OPEN.path | (followLast ? 0 : OPEN.noFollow));
    if (fd === undefined) return undefined;
    try {
      return statDescriptor(fd);
    } finally {
      closeDescriptor(fd);
    }
  }

  /**
   * The directory that holds a path's last component, open, and that component's name. The caller closes it.
   * Undefined where a directory on the way is missing.
   */
  parent(path: BytePath): { readonly fd: number; readonly name: BytePath } | undefined {
    const slash = path.lastIndexOf('/');
    const fd = this.open(slash < 0 ? '' : path.slice(0, slash), OPEN.path | OPEN.directory);
    return fd === undefined ? undefined : { fd, name: path.slice(slash + 1) };
  }

  /**
   * The path with every link on the way resolved inside the root, without leading slash.
   * Components that do not exist stay as they are. @throws BuildError `unsafe-path` on a loop of links
   */
  resolve(path: BytePath): BytePath {
    let pending = path.split('/');
    const done: string[] = [];
    for (let followed = 0; pending.length; ) {
      const part = pending.shift() as string;
      if (part === '' || part === '.') continue;
      if (part === '..') {
        done.pop();
        continue;
      }
      const target = this.#linkTarget([...done, part].join('/'));
      if (target === undefined) {
        done.push(part);
        continue;
      }
      followed += 1;
      if (followed > 64) throw tooManyLinks(path);
      if (target.startsWith('/')) done.length = 0;
      pending = [...target.split('/'), ...pending];
    }
    return done.join('/');
  }

  #linkTarget(path: BytePath): BytePath | undefined {
    const parent = this.parent(path);
    if (!parent) return undefined;
    try {
      const status = statAtIfExists(parent.fd, toBytes(parent.name));
      if (!status || (status.mode & S_IF.mask) !== S_IF.symlink) return undefined;
      return fromBytes(readLinkAt(parent.fd, toBytes(parent.name)));
    } finally {
      closeDescriptor(parent.fd);
    }
  }

  /** True for a directory without entries. */
  isEmptyDirectory(path: BytePath): boolean {
    const fd = this.open(path, OPEN.readOnly | OPEN.directory);
    if (fd === undefined) return false;
    try {
      return readDirectory(fd).length === 0;
    } finally {
      closeDescriptor(fd);
    }
  }

  /** A small regular file's text; undefined where there is none. Never blocks on a fifo or device (SECURITY I4). */
  readText(path: BytePath, limitBytes: number): string | undefined {
    const fd = this.open(path, OPEN.readOnly | OPEN.nonBlock);
    if (fd === undefined) return undefined;
    try {
      const status = statDescriptor(fd);
      if ((status.mode & S_IF.mask) !== S_IF.regular) return undefined;
      if (status.sizeBytes > limitBytes)
        throw new BuildError('bad-argument', `${toText(path)} is larger than ${limitBytes} bytes`);
      const bytes = Buffer.alloc(status.sizeBytes);
      let filled = 0;
      while (filled < bytes.length) {
        const count = readSync(fd, bytes, filled, bytes.length - filled, null);
        if (count === 0) break;
        filled += count;
      }
      return bytes.toString('utf8', 0, filled);
    } finally {
      closeSync(fd);
    }
  }
}

const tooManyLinks = (path: BytePath, cause?: unknown) =>
  new BuildError('unsafe-path', `resolving /${toText(path)}: too many levels of symbolic links`, { cause });

/** Slashes and dots cleaned away, `..` kept inside: `/a//b/../c/` is `a/c`. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}
