import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../../errors.ts';
import { StoreError } from '../../error.ts';
import { mountIdmapped } from '../../kernel/idmapped-mount.ts';
import { MNT, unmount } from '../../kernel/mount.ts';
import { holdUserNamespace } from '../../kernel/user-namespace.ts';
import type { IdMappings } from '../../layer/contract.ts';

/**
 * Gives lower directories the ids of a container's user namespace without touching a file: the home is mounted once
 * more, idmapped, and the lowers are looked up there. The overlay keeps what it needs, so disposing unmounts at once.
 * @param homes drivers' homes that lowers are in
 */
export async function mapHomes(
  layerDirectory: string,
  homes: readonly string[],
  mappings: IdMappings,
): Promise<{ place(path: string): string } & Disposable> {
  const mounted = new Map<string, string>();
  const release = () => {
    for (const target of mounted.values()) {
      unmount(target, MNT.detach);
      rmdirSync(target);
    }
  };
  using namespace = await holdUserNamespace(mappings.uids, mappings.gids);
  try {
    for (const [index, home] of homes.entries()) {
      const target = join(layerDirectory, 'mapped', String(index));
      mkdirSync(target, { recursive: true, mode: 0o700 });
      mountIdmapped(home, target, namespace.fd);
      mounted.set(home, target);
    }
  } catch (cause) {
    release();
    if (!isSystemError(cause, 'EINVAL', 'ENOSYS', 'EPERM')) throw cause;
    throw new StoreError('unsupported', `mapping the ids of ${layerDirectory}: ${(cause as Error).message}`, {
      cause,
      hint: 'containers with their own ids need Linux 5.19, root, and a file system with idmapped mounts',
    });
  }
  return {
    place(path) {
      const home = homes.find((candidate) => path.startsWith(`${candidate}/`));
      return home === undefined ? path : join(mounted.get(home)!, path.slice(home.length + 1));
    },
    [Symbol.dispose]: release,
  };
}
