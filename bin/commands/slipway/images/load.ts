import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { loadImages } from '../../../../build/images/save.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { temporaryDirectory } from '../../../cli/transport-context.ts';
import { openSession } from '../../buildah/session.ts';

/** `slipway load`: podman load. */
export const load: CommandSpec = {
  name: 'load',
  summary: 'Load images from an archive or directory into local storage',
  usage: '[flags]',
  args: { max: 0 },
  flags: [
    { name: 'input', short: 'i', kind: 'string', usage: 'read `FILE` or directory; default: stdin' },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  ],
  run: async (context) => {
    const input = context.flags.string('input');
    if (input === '' && context.io.stdin.isTTY)
      throw new UsageError(
        'usage',
        'cannot read from terminal, use command-line redirection or the --input flag',
      );
    await using session = await openSession(context, { quiet: context.flags.bool('quiet') });
    const names = await withInput(context, input, (path) => loadImages(session.surroundings, path));
    for (const name of names) context.print(`Loaded image: ${name}`);
  },
};

/** Gives a path: that of the file named, or of a copy of stdin. */
export async function withInput<T>(
  context: CommandContext,
  input: string,
  use: (path: string) => Promise<T>,
): Promise<T> {
  if (input !== '' && input !== '-') return await use(resolve(context.io.workingDirectory, input));
  const directory = await mkdtemp(join(temporaryDirectory(context.io), 'slipway-load-'));
  try {
    const path = join(directory, 'input');
    await pipeline(context.io.stdin, createWriteStream(path), { signal: context.signal });
    return await use(path);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
