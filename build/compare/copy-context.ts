import { cpSync, lstatSync, lutimesSync, mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Copies a context to a new path below `parent`, as another machine's checkout would have it.
 * @param times when every file was written; undefined: as they are in the context
 */
export function copyContext(directory: string, parent: string, times: Date | undefined): string {
  const copy = join(mkdtempSync(join(parent, 'slipway-context-')), 'context');
  cpSync(directory, copy, {
    recursive: true,
    preserveTimestamps: true,
    verbatimSymlinks: true,
    errorOnExist: true,
    force: false,
    // Sockets and fifos are no part of an image.
    filter: (source) => {
      const status = lstatSync(source);
      return status.isFile() || status.isDirectory() || status.isSymbolicLink();
    },
  });
  if (times) setTimes(copy, times);
  return copy;
}

function setTimes(path: string, time: Date): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    if (entry.isDirectory()) setTimes(below, time);
    else lutimesSync(below, time, time);
  }
  lutimesSync(path, time, time);
}
