import type { CommandSpec } from '../../cli/contract.ts';

export const manifest: CommandSpec = {
  name: 'manifest',
  summary: 'Make, change and push manifest lists',
  usage: 'COMMAND',
  commands: [
    {
      name: 'add',
      summary: 'Add an image or artifact to a manifest list',
      load: async () => (await import('./manifest/add.ts')).add,
    },
    {
      name: 'annotate',
      summary: 'Change what a manifest list says of an image, or of itself',
      load: async () => (await import('./manifest/annotate.ts')).annotate,
    },
    {
      name: 'create',
      summary: 'Make a manifest list',
      load: async () => (await import('./manifest/create.ts')).create,
    },
    {
      name: 'exists',
      summary: 'Say by the exit code whether a manifest list is there',
      load: async () => (await import('./manifest/exists.ts')).exists,
    },
    {
      name: 'inspect',
      summary: 'Show a manifest list',
      load: async () => (await import('./manifest/inspect.ts')).inspect,
    },
    {
      name: 'push',
      summary: 'Push a manifest list and its images',
      load: async () => (await import('./manifest/push.ts')).push,
    },
    {
      name: 'remove',
      summary: 'Take an image out of a manifest list',
      load: async () => (await import('./manifest/remove.ts')).remove,
    },
    {
      name: 'rm',
      summary: 'Remove manifest lists',
      load: async () => (await import('./manifest/remove.ts')).rm,
    },
  ],
};
