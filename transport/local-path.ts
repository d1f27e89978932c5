import { lstatSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { isSystemError } from '../errors.ts';
import { TransportError } from './error.ts';

/**
 * The absolute path without symbolic links that policies know a local image by; the last component may be missing
 * (containers/image, directory/explicitfilepath).
 * @throws TransportError `not-found` when the parent directory does not exist
 */
export function explicitPath(path: string, workingDirectory: string): string {
  const absolute = resolve(workingDirectory, path);
  try {
    if (lstatSync(absolute, { throwIfNoEntry: false }) !== undefined) return realpathSync(absolute);
    return join(realpathSync(dirname(absolute)), basename(absolute));
  } catch (cause) {
    if (!isSystemError(cause, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw cause;
    throw new TransportError('not-found', `lstat ${absolute}: no such file or directory`, {
      cause,
      facts: { path: absolute },
    });
  }
}

/** The parent directories of an explicit path, nearest first, without `/`; with the path itself when `inclusive`. */
export function pathNamespaces(explicit: string, inclusive: boolean): string[] {
  const scopes: string[] = inclusive && explicit !== '/' ? [explicit] : [];
  for (let path = dirname(explicit); path !== '/' && path !== '.'; path = dirname(path)) scopes.push(path);
  return scopes;
}
