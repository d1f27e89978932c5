import { closeSync, constants, openSync } from 'node:fs';
import { checked, libcFunction } from './libc.ts';

const nativeSyncfs = libcFunction('syncfs', 'int', ['int']);

/** Waits until all that was written to the file system of a directory is on disk: syncfs(2). @throws a system error */
export function syncFileSystem(directory: string): void {
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    checked(nativeSyncfs(fd), 'syncfs', directory);
  } finally {
    closeSync(fd);
  }
}
