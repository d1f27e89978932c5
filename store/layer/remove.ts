import { closeSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import { chmodAt, chmodDescriptor, OPEN, openAt, tryUnlinkAt, unlinkAt } from '../kernel/at.ts';
import { type PathLike, systemError } from '../kernel/libc.ts';
import { readDirectory, S_IF, statAt, statDescriptor } from '../kernel/stat.ts';

const LISTING = OPEN.readOnly | OPEN.directory | OPEN.noFollow;
const [EPERM, ENOENT, EACCES, EBUSY, EEXIST, EISDIR, ENOTEMPTY] = [1, 2, 13, 16, 17, 21, 39] as const;

/** How much {@link removeAt} may remove before it stops; counted down. */
export interface RemovalLimit {
  entries: number;
  bytes: number;
}

/**
 * Removes a file or a whole tree by name below a held directory: links are removed, not followed, and nothing is
 * done on other file systems that are mounted inside. Directories without permissions are opened up first. Nothing
 * there is no error.
 * @returns false where something is left because the limit was reached
 * @throws system errors; `EBUSY` for a mount point inside
 */
export function removeAt(directory: number, name: PathLike, left?: RemovalLimit): boolean {
  const errno = tryUnlinkAt(directory, name);
  if (errno === 0 || errno === ENOENT) return true;
  const mayBeDirectory = errno === EISDIR || errno === EPERM || errno === EACCES;
  if (!mayBeDirectory || (statAt(directory, name).mode & S_IF.mask) !== S_IF.directory)
    throw systemError(errno, 'unlinkat', name);
  return removeDirectory(directory, name, left);
}

/** @param mount that of the directory around it, where it must lie on the same */
function removeDirectory(directory: number, name: PathLike, left?: RemovalLimit, mount?: number): boolean {
  // Most are empty. One that something is mounted on says EBUSY.
  const errno = tryUnlinkAt(directory, name, true);
  if (errno === 0 || errno === ENOENT) return true;
  if (errno !== ENOTEMPTY && errno !== EEXIST && errno !== EACCES) throw systemError(errno, 'unlinkat', name);
  const fd = openSearchable(directory, name);
  try {
    const { mode, mountId } = statDescriptor(fd);
    if (mount !== undefined && mountId !== mount) throw systemError(EBUSY, 'unlinkat', name);
    allowRemoval(fd, mode);
    if (!removeEntries(fd, mountId, left)) return false;
  } finally {
    closeSync(fd);
  }
  unlinkAt(directory, name, true);
  return true;
}

function removeEntries(fd: number, mount: number, left?: RemovalLimit): boolean {
  const entries = readDirectory(fd);
  if (left) left.entries -= entries.length;
  return entries.every(({ name, type }) => {
    if (left && left.entries < 0) return false;
    if (type === S_IF.directory) return removeDirectory(fd, name, left, mount);
    if (left && type === S_IF.regular) left.bytes -= statAt(fd, name).sizeBytes;
    return (left?.bytes ?? 0) >= 0 && removeAt(fd, name, left);
  });
}

/** A directory that forbids to list it and to remove from it, is allowed that first. */
function allowRemoval(fd: number, mode: number): void {
  try {
    if ((mode & 0o700) !== 0o700) chmodDescriptor(fd, (mode & 0o7777) | 0o700);
  } catch (error) {
    if (!isSystemError(error, 'EPERM', 'EROFS')) throw error;
  }
}

function openSearchable(directory: number, name: PathLike): number {
  try {
    return openAt(directory, name, LISTING);
  } catch (error) {
    if (!isSystemError(error, 'EACCES')) throw error;
  }
  chmodAt(directory, name, 0o700);
  return openAt(directory, name, LISTING);
}
