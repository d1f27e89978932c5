import { closeSync, fstatSync } from 'node:fs';
import { isSystemError } from '../../../errors.ts';
import { BuildError } from '../../error.ts';
import { openInRoot, openRoot } from '../../run/rooted-path.ts';

/** A mount's source, held open: what is mounted is what was looked at, whatever happens to its path (SECURITY B01, B04). */
export interface OpenSource {
  /** `/proc/<pid>/fd/<n>`: valid as long as the descriptor is open. */
  readonly path: string;
  readonly isDirectory: boolean;
  close(): void;
}

/**
 * Opens `source` below `root`; symbolic links are followed inside it and nothing leads out.
 * @throws BuildError `bad-mount`
 */
export function openSource(root: string, source: string, shown: string): OpenSource {
  let fd: number;
  try {
    using handle = openRoot(root);
    fd = openInRoot(handle, source.replace(/^\/+/, '') || '.');
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new BuildError('bad-mount', `mount source "${shown}": ${describe(cause)}`, { cause });
  }
  return {
    path: `/proc/${process.pid}/fd/${fd}`,
    isDirectory: fstatSync(fd).isDirectory(),
    close: () => closeSync(fd),
  };
}

function describe(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'no such file or directory';
  if (error.code === 'ELOOP' || error.code === 'EXDEV') return 'leads out of its root';
  return error.message;
}
