import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { MANIFEST_LIMIT_BYTES } from '../../../image/json.ts';
import { tooLarge } from '../../../transport/blob-file.ts';
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
    const bytes = await readManifestFile(resolve(context.io.workingDirectory, name)).catch(
      prefixed(`Error reading manifest from ${name}`),
    );
    context.print(manifestDigest(bytes));
  },
};

/** The file may be a pipe, and what comes out of it endless. */
async function readManifestFile(path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of createReadStream(path)) {
    size += (chunk as Buffer).length;
    if (size > MANIFEST_LIMIT_BYTES) throw tooLarge('manifest', path, MANIFEST_LIMIT_BYTES);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
