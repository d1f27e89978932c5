import { sep } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { MNT, unmount } from '../kernel/mount.ts';
import { mountPoints } from './mount-table.ts';

/**
 * Removes a file or directory with all that is in it, as containers/storage EnsureRemoveAll: mounts that were left
 * below it are detached first when they are in the way. Missing is fine.
 */
export async function removeTree(path: string): Promise<void> {
  const { removeTree: remove } = await import('../layer/remove-tree.ts');
  try {
    await remove(path);
  } catch (error) {
    if (!isSystemError(error, 'EBUSY', 'ENOTEMPTY', 'EPERM')) throw error;
    detachMountsBelow(path);
    await remove(path);
  }
}

function detachMountsBelow(path: string): void {
  const below = [...mountPoints()].filter((point) => point === path || point.startsWith(path + sep));
  for (const point of below.sort().reverse()) {
    try {
      unmount(point, MNT.detach);
    } catch (error) {
      if (!isSystemError(error, 'EINVAL', 'ENOENT')) throw error;
    }
  }
}
