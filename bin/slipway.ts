import type { ToolSpec } from './cli/contract.ts';
import { main } from './cli/main.ts';
import { packageVersion } from './cli/version.ts';

/** What the originals lack: the registry, artifacts, graph copies, and looks into images. Commands load when called. */
export const slipway: ToolSpec = {
  name: 'slipway',
  version: packageVersion(),
  summary: 'Build container images, move them between registries, and look into them',
  usage: '[flags]',
  failureExitCode: 1,
  formatError: (message) => `slipway: ${message}\n`,
  flags: [],
  commands: [
    {
      name: 'serve',
      summary: 'Serve a directory as an OCI registry',
      load: async () => (await import('./commands/slipway/serve.ts')).serve,
    },
    {
      name: 'artifact',
      summary: 'Push, pull, attach and discover OCI artifacts',
      load: async () => (await import('./commands/slipway/artifact.ts')).artifact,
    },
    {
      name: 'cat',
      summary: 'Print one file of an image, reading only the layers needed',
      load: async () => (await import('./commands/slipway/look.ts')).cat,
    },
    {
      name: 'diff',
      summary: 'Show which files differ between two images',
      load: async () => (await import('./commands/slipway/look.ts')).diff,
    },
    {
      name: 'ls',
      summary: 'List the files of an image without pulling it',
      load: async () => (await import('./commands/slipway/look.ts')).ls,
    },
    {
      name: 'tree',
      summary: 'Show an index, its manifests, layers and referrers as a tree',
      load: async () => (await import('./commands/slipway/tree.ts')).tree,
    },
  ],
};

if (import.meta.main) await main(slipway);
