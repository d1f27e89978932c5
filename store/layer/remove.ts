import { closeSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import { chmodAt, chmodDescriptor, OPEN, openAt, unlinkAt } from '../kernel/at.ts';
import type { PathLike } from '../kernel/libc.ts';
import { readDirectory, S_IF, statAt, statDescriptor } from '../kernel/stat.ts';

const LISTING = OPEN.readOnly | OPEN.directory | OPEN.noFollow;

/**
 * Removes a file or a whole tree by name below a held directory: links are removed, not followed, and nothing is
 * done on other file systems that are mounted inside. Directories without permissions are opened up first. Nothing
 * there is no error.
 * @throws system errors; `EBUSY` for a mount point inside
 */
export function removeAt(directory: number, name: PathLike): void {
  try {
    unlinkAt(directory, name);
    return;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return;
    if (!isSystemError(error, 'EISDIR', 'EPERM', 'EACCES')) throw error;
    if ((statAt(directory, name).mode & S_IF.mask) !== S_IF.directory) throw error;
  }
  removeDirectory(directory, name);
}

function removeDirectory(directory: number, name: PathLike): void {
  try {
    unlinkAt(directory, name, true);
    return;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return;
    if (!isSystemError(error, 'ENOTEMPTY', 'EEXIST', 'EACCES')) throw error;
  }
  const fd = openForRemoval(directory, name);
  try {
    removeContents(fd);
  } finally {
    closeSync(fd);
  }
  unlinkAt(directory, name, true);
}

/** Removes everything in an open directory (one opened for reading). */
export function removeContents(fd: number): void {
  const mount = statDescriptor(fd).mountId;
  for (const entry of readDirectory(fd)) {
    if (entry.type !== S_IF.directory) {
      removeAt(fd, entry.name);
      continue;
    }
    // rmdir(2) of a mount point says EBUSY; what lies in it is not looked at.
    if (statAt(fd, entry.name).mountId !== mount) {
      unlinkAt(fd, entry.name, true);
      continue;
    }
    removeDirectory(fd, entry.name);
  }
}

/** Opens a directory for listing and removing; one that forbids it, is allowed it first. */
function openForRemoval(directory: number, name: PathLike): number {
  const fd = openSearchable(directory, name);
  try {
    const { mode } = statDescriptor(fd);
    if ((mode & 0o700) !== 0o700) chmodDescriptor(fd, (mode & 0o7777) | 0o700);
  } catch (error) {
    if (!isSystemError(error, 'EPERM', 'EROFS')) {
      closeSync(fd);
      throw error;
    }
  }
  return fd;
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
