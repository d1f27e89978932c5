import { closeSync, fstatSync, mkdirSync, mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { isSystemError } from '../../../errors.ts';
import { BuildError } from '../../error.ts';
import { openInRoot, openRoot } from '../../run/rooted-path.ts';

/** A host path that a RUN may mount: the root itself, or a private bind mount of what was opened below it. */
export interface MountableSource {
  readonly path: string;
  readonly isDirectory: boolean;
}

/**
 * Makes a path below a root mountable from another mount namespace. What is mounted is the very file that was opened,
 * checked by device and inode (SECURITY B01, B04, I2); the mount goes when the RUN has ended.
 * @throws BuildError `bad-mount`
 */
export async function mountableSource(
  root: string,
  source: string,
  shown: string,
  given: { readonly scratch: string; readonly cleanup: AsyncDisposableStack },
): Promise<MountableSource> {
  if (posix.normalize(`/${source}`) === '/') return { path: root, isDirectory: true };
  const opened = openSource(root, source, shown);
  try {
    const { mount, MS, MNT, unmount } = await import('../../../store/kernel/mount.ts');
    const point = join(mkdtempSync(join(given.scratch, 'bind-')), 'source');
    if (opened.isDirectory) mkdirSync(point);
    else writeFileSync(point, '');
    mount(opened.path, point, undefined, MS.bind | MS.rec);
    given.cleanup.defer(() => unmount(point, MNT.detach));
    mount(undefined, point, undefined, MS.private | MS.rec);
    const [there, meant] = [statSync(point), statSync(opened.path)];
    if (there.dev !== meant.dev || there.ino !== meant.ino)
      throw new BuildError('bad-mount', `mount source "${shown}" changed while it was mounted`);
    return { path: point, isDirectory: opened.isDirectory };
  } finally {
    opened.close();
  }
}

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
