import { resolve } from 'node:path';
import { readStorageConfig, withStorageFlags } from '../../config/storage.ts';
import type { StoreOptions } from '../../store/storage/open.ts';
import type { StorageLocation } from '../../transport/contract.ts';
import type { CommandContext } from './contract.ts';
import { textFlag } from './flags.ts';

/** The store of storage.conf, or the one that global flags or a containers-storage reference name. */
export async function localStorage(
  { flags, io }: CommandContext,
  location: StorageLocation = {},
): Promise<StoreOptions> {
  const path = (name: string) => {
    const text = textFlag(flags, name);
    return text && resolve(io.workingDirectory, text);
  };
  const changed = (name: string) => flags.declares(name) && flags.changed(name);
  const config = withStorageFlags(await readStorageConfig({ environment: io.environment }), {
    root: location.graphRoot ?? path('root'),
    runRoot: location.runRoot ?? path('runroot'),
    driver: location.driver ?? textFlag(flags, 'storage-driver'),
    options: location.options ?? (changed('storage-opt') ? flags.list('storage-opt') : undefined),
  });
  return {
    ...config,
    imageStore: path('imagestore') ?? config.imageStore,
    transient: changed('transient-store') ? flags.bool('transient-store') : config.transient,
  };
}
