import { AT_FDCWD } from '../kernel/at.ts';
import { removeAt } from './remove.ts';

/** Gone within 20 ms, a third of what it takes to start a worker. */
const INLINE = { entries: 400, bytes: 256 << 20 } as const;

/**
 * Removes a file or a directory with all that is in it, what is left of a large one in a worker thread. Links are
 * removed and never followed, directories without permissions are opened up first, and nothing is removed from a file
 * system that is mounted inside: that is an error `EBUSY`, and what lies there stays. Missing is fine.
 * @throws system errors with `code` and `path`
 */
export async function removeTree(path: string): Promise<void> {
  if (removeAt(AT_FDCWD, path, { ...INLINE })) return;
  const { runJob } = await import('./run-job.ts');
  await runJob('remove', { path });
}
