import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { ifThere } from '../../../errors.ts';
import { lock } from '../../../store/kernel/lock.ts';

/**
 * Holds the locks under which networks are set up and taken down: the one of today's tools, and that of Podman before
 * 4.4 where such a Podman has made its file.
 * @throws the signal's reason while it waits
 */
export async function lockNetworks(
  paths: { readonly current: string; readonly former: string },
  signal: AbortSignal | undefined,
): Promise<Disposable> {
  using held = new DisposableStack();
  mkdirSync(dirname(paths.current), { recursive: true });
  const current = openSync(paths.current, constants.O_RDWR | constants.O_CREAT, 0o644);
  held.defer(() => closeSync(current));
  await lock(current, 'write', { signal });
  const former = ifThere(() => openSync(paths.former, constants.O_RDWR), 'ENOENT', 'EROFS');
  if (former === undefined) return held.move();
  held.defer(() => closeSync(former));
  await lock(former, 'write', { signal });
  return held.move();
}
