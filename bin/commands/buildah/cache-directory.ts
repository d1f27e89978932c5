import { join } from 'node:path';
import type { CommandIo } from '../../cli/contract.ts';

/**
 * Where the cache mounts of builds are kept: below TMPDIR, apart for each user, as Buildah has it. In a user namespace
 * the user is the one outside: root's caches may stand in the same place.
 */
export function cacheDirectory({ io }: { readonly io: Pick<CommandIo, 'environment'> }): string {
  const { TMPDIR, _CONTAINERS_ROOTLESS_UID: outside } = io.environment;
  const uid = /^\d+$/.test(outside ?? '') ? outside : (process.getuid?.() ?? 0);
  return join(TMPDIR || '/var/tmp', `buildah-cache-${uid}`);
}
