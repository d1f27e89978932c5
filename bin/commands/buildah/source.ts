import type { CommandSpec } from '../../cli/contract.ts';

export const source: CommandSpec = {
  name: 'source',
  summary: 'Make, push and pull source images',
  usage: 'COMMAND',
  commands: [
    {
      name: 'add',
      summary: 'Add a file or directory to a source image',
      load: async () => (await import('./source/local.ts')).add,
    },
    {
      name: 'create',
      summary: 'Make an empty source image',
      load: async () => (await import('./source/local.ts')).create,
    },
    {
      name: 'pull',
      summary: 'Pull a source image from a registry',
      load: async () => (await import('./source/transfer.ts')).pull,
    },
    {
      name: 'push',
      summary: 'Push a source image to a registry',
      load: async () => (await import('./source/transfer.ts')).push,
    },
  ],
};
