import { chmodSync, closeSync, constants, readSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import {
  chownAt,
  closeDescriptor,
  type FileStatus,
  mkdirAt,
  OPEN,
  openAt,
  openAt2,
  RESOLVE,
  readLinkAt,
  S_IF,
  setTimesAt,
  statAtIfExists,
  statDescriptor,
  unlinkAt,
} from '../../store/kernel/index.ts';
import { giveOwner } from '../../store/layer/owner-override.ts';
import { BuildError } from '../error.ts';

const IN_ROOT = RESOLVE.inRoot | RESOLVE.noMagicLinks;
const LINK_LIMIT = 40;

/** An open directory that stands for a root file system; every path below is resolved inside it (SECURITY I1, I2). */
export interface RootHandle extends Disposable {
  readonly fd: number;
}

/** @throws a system error where the directory is missing */
export function openRoot(path: string): RootHandle {
  const fd = openAt(-100, path, OPEN.path | OPEN.directory);
  return { fd, [Symbol.dispose]: () => closeDescriptor(fd) };
}

/** Opens a path of the image as O_PATH; links are followed inside the root, `/proc`'s magic links never. */
export function openInRoot(root: RootHandle, path: string, flags: number = OPEN.path): number {
  return openAt2(root.fd, path, flags, IN_ROOT);
}

/** A path that was made, by the directory that holds it, so that it can be taken away again. */
export interface MadePath {
  /** Absolute in the root, without links. */
  readonly path: string;
  readonly isDirectory: boolean;
  /** As it was made; {@link MADE_NS} is its time. */
  readonly status: FileStatus;
}

/** The time of what was made, which shows later whether a command changed it: Buildah's choice. */
const MADE_NS = 0n;

export interface EnsureOptions {
  readonly kind: 'directory' | 'file';
  readonly mode?: number;
  /** Host ids of what is made. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Called for everything that is made, outermost first, before anything else happens to it. */
  readonly onMade?: (made: MadePath) => void;
}

/**
 * Opens a path of the image (O_PATH), making what is missing of it: directories on the way, and the last component as
 * `kind` says. Symbolic links are followed inside the root, dangling ones too.
 * @throws BuildError `unsafe-path` for a loop of links or a path through something that is no directory
 */
export function ensureInRoot(root: RootHandle, path: string, options: EnsureOptions): number {
  try {
    return openInRoot(root, path);
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw unsafe(path, error);
  }
  let done: string[] = [];
  let left = components(path);
  let links = 0;
  while (left.length > 0) {
    const [name, ...rest] = left as [string, ...string[]];
    left = rest;
    if (name === '..') {
      done = done.slice(0, -1);
      continue;
    }
    const target = step(root, done, name, left.length === 0 ? options : { ...options, kind: 'directory' });
    if (target === undefined) {
      done = [...done, name];
      continue;
    }
    links += 1;
    if (links > LINK_LIMIT) throw new BuildError('unsafe-path', `too many symbolic links in "${path}"`);
    if (target.startsWith('/')) done = [];
    left = [...components(target), ...left];
  }
  try {
    return openInRoot(root, `/${done.join('/')}`);
  } catch (error) {
    throw unsafe(path, error);
  }
}

/** Looks at one component: the target where it is a link, nothing where it is there or was made. */
function step(
  root: RootHandle,
  done: readonly string[],
  name: string,
  options: EnsureOptions,
): string | undefined {
  const parentPath = `/${done.join('/')}`;
  let parent: number;
  try {
    parent = openInRoot(root, parentPath, OPEN.path | OPEN.directory);
  } catch (error) {
    throw unsafe(parentPath, error);
  }
  try {
    const there = lookAt(parent, name);
    if (there === 'link') return readLinkAt(parent, name).toString();
    if (there === 'missing') make(parent, parentPath, name, options);
    return undefined;
  } finally {
    closeDescriptor(parent);
  }
}

function lookAt(parent: number, name: string): 'link' | 'there' | 'missing' {
  const status = statAtIfExists(parent, name);
  if (!status) return 'missing';
  return (status.mode & S_IF.mask) === S_IF.symlink ? 'link' : 'there';
}

function make(parent: number, parentPath: string, name: string, options: EnsureOptions): void {
  const before = statDescriptor(parent);
  const mode = options.mode ?? 0o755;
  if (options.kind === 'directory') mkdirAt(parent, name, mode);
  else closeDescriptor(openAt(parent, name, OPEN.writeOnly | OPEN.create | OPEN.exclusive, mode));
  const { owner } = options;
  if (owner) {
    const type = options.kind === 'directory' ? S_IF.directory : S_IF.regular;
    const status = { ...owner, mode: type | mode, deviceMajor: 0, deviceMinor: 0 };
    const path = `/proc/self/fd/${parent}/${name}`;
    giveOwner(() => chownAt(parent, name, owner.uid, owner.gid), path, status);
  }
  const fd = openAt(parent, name, OPEN.path | OPEN.noFollow);
  const { mode: made } = statDescriptor(fd);
  // The mask of whoever calls the build is nothing that an image may depend on.
  if ((made & 0o777) !== mode) chmodSync(`/proc/self/fd/${fd}`, (made & 0o7000) | mode);
  if (options.onMade) {
    setTimesAt(parent, name, MADE_NS, MADE_NS);
    // What goes away again is not to be seen in the times of its directory meanwhile.
    keepTimes(parent, before);
  }
  const status = statDescriptor(fd);
  closeDescriptor(fd);
  const path = parentPath === '/' ? `/${name}` : `${parentPath}/${name}`;
  options.onMade?.({ path, isDirectory: options.kind === 'directory', status });
}

function keepTimes(directory: number, { accessedNs, modifiedNs }: FileStatus): void {
  try {
    setTimesAt(directory, '.', accessedNs, modifiedNs);
  } catch (error) {
    // In a user namespace everyone's directory may belong to nobody.
    if (!isSystemError(error, 'EPERM')) throw error;
  }
}

function components(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function unsafe(path: string, cause: unknown): unknown {
  if (!isSystemError(cause, 'ELOOP', 'ENOTDIR', 'EXDEV')) return cause;
  return new BuildError('unsafe-path', `"${path}" cannot be resolved inside the root file system`, { cause });
}

/**
 * Takes a made path away again if it is still what was made: the same inode with the same owner and time, an empty
 * directory or an empty file, in a directory that is reached without links (SECURITY B05) and keeps its times.
 */
export function removeMade(root: RootHandle, made: MadePath): void {
  const slash = made.path.lastIndexOf('/');
  const name = made.path.slice(slash + 1);
  let parent: number;
  try {
    parent = openAt2(
      root.fd,
      made.path.slice(0, slash) || '/',
      OPEN.readOnly | OPEN.directory,
      IN_ROOT | RESOLVE.noSymlinks,
    );
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ELOOP', 'ENOTDIR', 'EACCES')) return;
    throw error;
  }
  try {
    const now = statAtIfExists(parent, name);
    if (!now || !isAsMade(now, made)) return;
    const before = statDescriptor(parent);
    unlinkAt(parent, name, made.isDirectory);
    keepTimes(parent, before);
  } catch (error) {
    if (!isSystemError(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOENT')) throw error;
  } finally {
    closeDescriptor(parent);
  }
}

function isAsMade(now: FileStatus, { status, isDirectory }: MadePath): boolean {
  const wanted = isDirectory ? S_IF.directory : S_IF.regular;
  return (
    now.inode === status.inode &&
    now.device === status.device &&
    now.uid === status.uid &&
    now.gid === status.gid &&
    now.modifiedNs === status.modifiedNs &&
    (now.mode & S_IF.mask) === wanted &&
    (isDirectory || now.sizeBytes === 0)
  );
}

/**
 * Reads a small file of the image. Only regular files are read, without blocking on FIFOs (SECURITY I4, B20).
 * @returns undefined where there is no such file
 * @throws BuildError `unsafe-path` for anything but a regular file, or one over the limit
 */
export function readInRoot(root: RootHandle, path: string, limitBytes: number): string | undefined {
  let fd: number;
  try {
    fd = openInRoot(root, path, OPEN.readOnly | OPEN.nonBlock | constants.O_NOCTTY);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw unsafe(path, error);
  }
  try {
    const { mode, sizeBytes } = statDescriptor(fd);
    if ((mode & S_IF.mask) !== S_IF.regular)
      throw new BuildError('unsafe-path', `${path} of the image is not a regular file`);
    if (sizeBytes > limitBytes) throw tooLarge(path, limitBytes);
    const bytes = Buffer.alloc(limitBytes < sizeBytes + 4096 ? limitBytes + 1 : sizeBytes + 4096);
    let length = 0;
    for (let got = -1; got !== 0 && length < bytes.length; length += got)
      got = readSync(fd, bytes, length, bytes.length - length, null);
    if (length > limitBytes) throw tooLarge(path, limitBytes);
    return bytes.toString('utf8', 0, length);
  } finally {
    closeSync(fd);
  }
}

function tooLarge(path: string, limitBytes: number): BuildError {
  return new BuildError('unsafe-path', `${path} of the image is larger than ${limitBytes} bytes`);
}
