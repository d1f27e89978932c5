import { closeSync } from 'node:fs';
import { posix } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { hostIds } from '../../store/storage/id-mappings.ts';
import { numericOwner } from '../add/owner.ts';
import type { WorkingContainer } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import { ensureInRoot, openRoot } from '../run/rooted-path.ts';
import { resolveUser } from '../run/user.ts';

/**
 * Makes a directory in a container's root file system with those above it, mode 0755, owned by the user where one is
 * given; what is there stays as it is. Links are followed inside the root alone (SECURITY B21, B22).
 */
export function ensureDirectory(
  mounted: { readonly rootfs: string; readonly container: WorkingContainer },
  path: string,
  user: string | undefined,
): void {
  using root = openRoot(mounted.rootfs);
  const owner = ownerOf(mounted, user);
  try {
    closeSync(
      ensureInRoot(root, posix.normalize(path), {
        kind: 'directory',
        mode: 0o755,
        ...(owner ? { owner } : {}),
      }),
    );
  } catch (cause) {
    if (!(cause instanceof BuildError) || !isSystemError(cause.cause, 'ELOOP')) throw cause;
    throw new BuildError('unsafe-path', `open ${path}: too many levels of symbolic links`, { cause });
  }
}

function ownerOf(
  { rootfs, container }: { readonly rootfs: string; readonly container: WorkingContainer },
  user: string | undefined,
): { uid: number; gid: number } | undefined {
  const { idMappings } = container;
  const known = user ? (numericOwner(user) ?? knownUser(rootfs, user)) : { uid: 0, gid: 0 };
  if (!idMappings && known.uid === 0 && known.gid === 0) return undefined;
  return hostIds(idMappings, known);
}

/** A user that the root file system does not know leaves the directory to root, as in Buildah. */
function knownUser(rootfs: string, user: string): { uid: number; gid: number } {
  try {
    return resolveUser(rootfs, user);
  } catch (error) {
    if (error instanceof BuildError && error.code === 'bad-user') return { uid: 0, gid: 0 };
    throw error;
  }
}
