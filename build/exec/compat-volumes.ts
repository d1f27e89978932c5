import { closeDescriptor } from '../../store/kernel/index.ts';
import type { IdMappings } from '../../store/layer/contract.ts';
import type { RunMount } from '../run/contract.ts';
import { ensureInRoot, openRoot } from '../run/rooted-path.ts';
import { discardingOverlay } from './mounts/bind.ts';
import { mountableSource } from './mounts/source.ts';

/**
 * `--compat-volumes`: what a RUN writes into a volume of the image is gone afterwards. The volumes are paths out of an
 * image's configuration: they are resolved inside its root file system (SECURITY B22).
 * @throws BuildError `unsafe-path`, `bad-mount`
 */
export async function compatVolumes(
  volumes: readonly string[],
  rootfs: string,
  given: {
    readonly scratch: string;
    readonly cleanup: AsyncDisposableStack;
    readonly idMappings: IdMappings | undefined;
  },
): Promise<RunMount[]> {
  const mounts: RunMount[] = [];
  for (const path of outermost(volumes)) {
    makeDirectory(rootfs, path, given.idMappings);
    const source = await mountableSource(rootfs, path, path, given);
    if (source.isDirectory) mounts.push(discardingOverlay(source.path, path, given.scratch, []));
  }
  return mounts;
}

function outermost(volumes: readonly string[]): string[] {
  const paths = volumes
    .map((path) => `/${path.split('/').filter(Boolean).join('/')}`)
    .filter((path) => path !== '/');
  return paths.filter((path) => !paths.some((other) => path.startsWith(`${other}/`)));
}

function makeDirectory(rootfs: string, path: string, mappings: IdMappings | undefined): void {
  using root = openRoot(rootfs);
  const owner = { uid: hostRoot(mappings?.uids), gid: hostRoot(mappings?.gids) };
  closeDescriptor(ensureInRoot(root, path, { kind: 'directory', owner }));
}

function hostRoot(ranges: IdMappings['uids'] | undefined): number {
  return ranges?.find(({ containerId }) => containerId === 0)?.hostId ?? 0;
}
