import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSystemError } from '../errors.ts';

/**
 * A directory with those above it that are missing; true where it was not there. For paths that users name: Node's own
 * way never ends below /proc, where the kernel says of a directory that cannot be made that its parent is missing.
 */
export function makeDirectories(path: string, mode = 0o777): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (error) {
    if (isSystemError(error, 'EEXIST') && statSync(path).isDirectory()) return false;
    if (!isSystemError(error, 'ENOENT') || existsSync(dirname(path))) throw error;
  }
  makeDirectories(dirname(path), mode);
  makeDirectories(path, mode);
  return true;
}
