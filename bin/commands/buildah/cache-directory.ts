import { join } from 'node:path';
import type { CommandContext } from '../../cli/contract.ts';

/** Where the cache mounts of builds are kept: below TMPDIR, apart for each user, as Buildah has it. */
export function cacheDirectory({ io }: CommandContext): string {
  return join(io.environment.TMPDIR || '/var/tmp', `buildah-cache-${process.getuid?.() ?? 0}`);
}
