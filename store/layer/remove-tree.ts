import { isSystemError } from '../../errors.ts';
import { AT_FDCWD } from '../kernel/at.ts';
import { isSmallTree } from './inline.ts';
import { removeAt } from './remove.ts';
import { runJob } from './run-job.ts';

/** Gone within 20 ms, a third of what it takes to start a worker. */
const INLINE_REMOVED_BYTES = 256 << 20;

/**
 * Removes a file or a directory with all that is in it, a large one in a worker thread. Links are removed and never
 * followed, directories without permissions are opened up first, and nothing is removed from a file system that is
 * mounted inside: that is an error `EBUSY`, and what lies there stays. Missing is fine.
 * @throws system errors with `code` and `path`
 */
export async function removeTree(path: string): Promise<void> {
  if (isWorthWorker(path)) await runJob('remove', { path });
  else removeAt(AT_FDCWD, path);
}

function isWorthWorker(path: string): boolean {
  try {
    return !isSmallTree(path, INLINE_REMOVED_BYTES);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
    if (isSystemError(error, 'EACCES')) return true;
    throw error;
  }
}
