import type { FlagSpec } from './contract.ts';

export const REGISTRIES_D_FLAG: FlagSpec = {
  name: 'registries.d',
  kind: 'string',
  usage: 'read where registries keep signatures from the files in `DIRECTORY`',
};
