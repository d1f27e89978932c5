import { type Platform, platformOf } from '../../image/platform.ts';
import type { Store } from '../../store/storage/contract.ts';
import type { StorageLocation, TransportContext } from '../../transport/contract.ts';
import type { CommandContext } from './contract.ts';
import { type AccessPrefix, registryAccess } from './registry-access.ts';
import { packageVersion } from './version.ts';

/** What a command adds to the surroundings that every reference needs. */
export interface ContextOptions {
  /** Whose flags say how to reach registries; default: the ones without prefix. */
  readonly prefix?: AccessPrefix;
  /** Default: this machine's. */
  readonly platform?: Platform;
  /** Default: TMPDIR, else /var/tmp. */
  readonly temporaryDirectory?: string;
}

/** The surroundings of opening references, from a command's flags and environment. */
export function transportContext(context: CommandContext, options: ContextOptions = {}): TransportContext {
  const { io } = context;
  return {
    platform: options.platform ?? platformOf(process.platform, process.arch),
    temporaryDirectory: options.temporaryDirectory ?? temporaryDirectory(io.environment),
    signal: context.signal,
    onWarning: (text) => context.note(`warning: ${text}`),
    docker: registryAccess(context.flags, options.prefix ?? '', io, `slipway/${packageVersion()}`),
    openStore: (location) => openDefaultStore(io.environment, location),
  };
}

/** Big files go to TMPDIR or, as the originals do, to /var/tmp, which unlike /tmp is on disk. */
export function temporaryDirectory(environment: Readonly<Record<string, string | undefined>>): string {
  return environment.TMPDIR || (process.platform === 'win32' ? (environment.TEMP ?? '.') : '/var/tmp');
}

/** The store of storage.conf, or the one that a containers-storage reference names. */
export async function openDefaultStore(
  environment: Readonly<Record<string, string | undefined>>,
  location: StorageLocation = {},
): Promise<Store> {
  const [{ readStorageConfig, withStorageFlags }, { openStore }] = await Promise.all([
    import('../../config/storage.ts'),
    import('../../store/storage/open.ts'),
  ]);
  const config = withStorageFlags(await readStorageConfig({ environment }), {
    root: location.graphRoot,
    runRoot: location.runRoot,
    driver: location.driver,
    options: location.options,
  });
  return await openStore(config);
}
