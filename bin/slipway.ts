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
  ],
};

if (import.meta.main) await main(slipway);
