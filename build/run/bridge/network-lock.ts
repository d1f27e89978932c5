import { closeSync, constants, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { lock } from '../../../store/kernel/lock.ts';

/**
 * Holds the locks under which networks are set up and taken down: the one of today's tools, and that of Podman before
 * 4.4 where its file is there.
 * @throws the signal's reason while it waits
 */
export async function lockNetworks(
  paths: { readonly current: string; readonly former: string },
  signal: AbortSignal | undefined,
): Promise<Disposable> {
  using held = new DisposableStack();
  mkdirSync(dirname(paths.current), { recursive: true });
  for (const path of [paths.current, ...(existsSync(paths.former) ? [paths.former] : [])]) {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
    held.defer(() => closeSync(fd));
    await lock(fd, 'write', { signal });
  }
  return held.move();
}
