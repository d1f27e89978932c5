import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { CommandSpec } from '../../cli/contract.ts';
import { prefixed } from './surroundings.ts';

/** `skopeo manifest-digest`. */
export const manifestDigestCommand: CommandSpec = {
  name: 'manifest-digest',
  summary: 'Compute the digest of a manifest in a file',
  usage: 'MANIFEST-FILE',
  examples: ['skopeo manifest-digest manifest.json'],
  args: { min: 1, max: 1, message: 'Usage: skopeo manifest-digest manifest' },
  async run(context) {
    const { manifestDigest } = await import('../../../image/manifest.ts');
    const name = context.args[0] as string;
    const bytes = await readFile(resolve(context.io.workingDirectory, name)).catch(
      prefixed(`Error reading manifest from ${name}`),
    );
    context.print(manifestDigest(bytes));
  },
};
