import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { AT_FDCWD, closeDescriptor, mkdirAt, OPEN, openAt, readLinkAt } from '../kernel/at.ts';
import { type PathLike, showPath } from '../kernel/libc.ts';

const MAX_LINKS = 40;
const MAX_DEPTH = 400;
const MAX_PATH_BYTES = 4095;
const DIRECTORY = OPEN.path | OPEN.directory | OPEN.noFollow;

/** A name below a held directory: what the `at` system calls take. */
export interface Place {
  readonly directory: number;
  /** One path component, as bytes. */
  readonly name: Buffer;
}

/** A component that is empty or made of dots. */
const UNCLEAN = /(?:^|\/)\.{0,2}(?:\/|$)/;

/** Bytes of a latin1 path or name. */
export const bytesOf = (path: string): Buffer => Buffer.from(path, 'latin1');

/** A latin1 path as readable text, for messages. */
export const shownPath = (path: string): string => showPath(bytesOf(path));

/**
 * Cleans a path from an archive lexically, as Go's path.Clean does: `a/../b` is `b`, `/../x` is `x`, and a relative
 * path that climbs out is refused. The result has no leading slash; the root itself is the empty string.
 * @throws StoreError `unsafe-path`
 */
export function cleanPath(path: string): string {
  // Most are clean, and of a length at which they cannot have too many levels.
  if (path.length < 2 * MAX_DEPTH && !UNCLEAN.test(path)) return path;
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.length > 0) parts.pop();
    else if (!path.startsWith('/'))
      throw new StoreError('unsafe-path', `the path "${shownPath(path)}" leads outside of the root`);
  }
  const clean = parts.join('/');
  if (clean.length > MAX_PATH_BYTES || parts.length > MAX_DEPTH)
    throw new StoreError(
      'unsafe-path',
      `a path of ${clean.length} bytes and ${parts.length} levels is too long`,
    );
  return clean;
}

/**
 * A directory as the root of everything: paths are walked one component at a time on held descriptors, links are read
 * and followed by hand, absolute ones from the root, and `..` never climbs above it. No capability, no `chroot` and no
 * `openat2` is needed, and no rename elsewhere can lead a walk outside. Paths are latin1 and already clean.
 */
export class RootedTree implements Disposable {
  readonly root: number;
  /**
   * The directories from the root to the one last walked to. Only what lies below that one is ever replaced before
   * the next walk, so what is held here is never stale.
   */
  #walked: { readonly name: string; readonly fd: number }[] = [];
  /** The path of that one, where it led there through no link. */
  #walkedPath: string | undefined = '';

  readonly #onCreate: (place: Place) => void;

  /** @param onCreate called for every missing parent that a walk makes */
  constructor(root: PathLike, onCreate: (place: Place) => void = () => {}) {
    this.#onCreate = onCreate;
    this.root = openAt(AT_FDCWD, root, OPEN.path | OPEN.directory);
  }

  [Symbol.dispose](): void {
    this.#cut(0);
    closeDescriptor(this.root);
  }

  /**
   * The place that a clean path names: its parent is walked to, its last component is not looked at. Valid until the
   * next call.
   * @param createMode missing parents are made with this mode; without it they are an error `ENOENT`
   */
  place(path: string, createMode?: number): Place {
    const slash = path.lastIndexOf('/');
    const parent = slash < 0 ? '' : path.slice(0, slash);
    return { directory: this.directory(parent, createMode), name: bytesOf(path.slice(slash + 1)) };
  }

  /** An O_PATH descriptor of the directory, owned by the tree and valid until the next call. */
  directory(path: string, createMode?: number): number {
    if (path === this.#walkedPath) return this.#top();
    this.#walkedPath = undefined;
    const parts = path === '' ? [] : path.split('/');
    let common = 0;
    while (common < this.#walked.length && this.#walked[common]!.name === parts[common]) common += 1;
    this.#cut(common);
    this.#walk(parts.slice(common), createMode);
    if (this.walkedPath() === path) this.#walkedPath = path;
    return this.#top();
  }

  /** The real path, free of links, of the directory that the last walk ended in. */
  walkedPath(): string {
    return this.#walked.map(({ name }) => name).join('/');
  }

  #top(): number {
    return this.#walked.at(-1)?.fd ?? this.root;
  }

  #cut(length: number): void {
    for (const { fd } of this.#walked.splice(length)) closeDescriptor(fd);
  }

  #walk(parts: string[], createMode: number | undefined): void {
    const ahead = parts.reverse();
    let links = 0;
    while (ahead.length > 0) {
      const name = ahead.pop()!;
      if (name === '' || name === '.') continue;
      if (name === '..') {
        this.#cut(Math.max(0, this.#walked.length - 1));
        continue;
      }
      if (this.#walked.length >= MAX_DEPTH) throw tooDeep(name);
      const fd = this.#enter(name, createMode);
      if (typeof fd === 'number') {
        this.#walked.push({ name, fd });
        continue;
      }
      links += 1;
      if (links > MAX_LINKS || ahead.length > 2 * MAX_DEPTH) throw tooDeep(name);
      if (fd.startsWith('/')) this.#cut(0);
      ahead.push(...fd.split('/').reverse());
    }
  }

  /** A descriptor of the subdirectory, or the target of the link that is there. */
  #enter(name: string, createMode: number | undefined): number | string {
    const bytes = bytesOf(name);
    for (let attempt = 0; ; attempt += 1) {
      try {
        return openAt(this.#top(), bytes, DIRECTORY);
      } catch (error) {
        if (isSystemError(error, 'ENOTDIR', 'ELOOP')) return this.#linkTarget(bytes, error);
        if (!isSystemError(error, 'ENOENT') || createMode === undefined || attempt > 0) throw error;
        mkdirAt(this.#top(), bytes, createMode);
        this.#onCreate({ directory: this.#top(), name: bytes });
      }
    }
  }

  #linkTarget(name: Buffer, notDirectory: Error): string {
    try {
      return readLinkAt(this.#top(), name).toString('latin1');
    } catch (error) {
      if (isSystemError(error, 'EINVAL')) throw notDirectory;
      throw error;
    }
  }
}

function tooDeep(name: string): StoreError {
  return new StoreError('unsafe-path', `too many levels of directories or links at "${shownPath(name)}"`);
}
