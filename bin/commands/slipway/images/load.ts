import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { loadImages } from '../../../../build/images/save.ts';
import { isSystemError } from '../../../../errors.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { temporaryDirectory } from '../../../cli/transport-context.ts';
import { openSession } from '../../buildah/session.ts';

/** Podman's hidden flag. */
const POLICY_FILE_FLAG: FlagSpec = {
  name: 'signature-policy',
  kind: 'string',
  usage: 'read the signature policy from this `FILE`',
  hidden: true,
};

/** `slipway load`: podman load. */
export const load: CommandSpec = {
  name: 'load',
  summary: 'Load images from an archive or directory into local storage',
  usage: '[flags]',
  args: { max: 0 },
  flags: [
    { name: 'input', short: 'i', kind: 'string', usage: 'read `FILE` or directory; default: stdin' },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
    POLICY_FILE_FLAG,
  ],
  run: async (context) => {
    const input = context.flags.string('input');
    if (input === '' && context.io.stdin.isTTY)
      throw new UsageError(
        'usage',
        'cannot read from terminal, use command-line redirection or the --input flag',
      );
    await checkInput(context, input);
    await using session = await openSession(context, {
      flags: load.flags ?? [],
      quiet: context.flags.bool('quiet'),
    });
    const names = await withInput(context, input, (path) => loadImages(session.surroundings, path));
    for (const name of names) context.print(`Loaded image: ${name}`);
  },
};

async function checkInput({ io }: CommandContext, input: string): Promise<void> {
  if (input === '' || input === '-') return;
  try {
    await stat(resolve(io.workingDirectory, input));
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    const why = cause.code === 'ENOENT' ? 'no such file or directory' : cause.message;
    throw new UsageError('usage', `stat ${input}: ${why}`, { cause });
  }
}

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
