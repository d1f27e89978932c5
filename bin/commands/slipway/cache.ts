import type { CommandSpec } from '../../cli/contract.ts';

/** `slipway cache`: the directories behind `RUN --mount=type=cache`. */
export const cache: CommandSpec = {
  name: 'cache',
  summary: 'List, remove, export and import the cache mounts of builds',
  usage: '',
  commands: [
    {
      name: 'ls',
      aliases: ['list'],
      summary: 'List cache mounts',
      load: async () => (await import('./cache-list.ts')).list,
    },
    {
      name: 'prune',
      aliases: ['rm'],
      summary: 'Remove cache mounts that no RUN uses now',
      load: async () => (await import('./cache-list.ts')).prune,
    },
    {
      name: 'export',
      summary: 'Write cache mounts to a tar file or a registry',
      load: async () => (await import('./cache-transfer.ts')).exportCommand,
    },
    {
      name: 'import',
      summary: 'Take cache mounts from a tar file or a registry',
      load: async () => (await import('./cache-transfer.ts')).importCommand,
    },
  ],
};
