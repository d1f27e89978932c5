import { lstat, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { isSystemError } from '../../../errors.ts';
import { askPassphrase } from '../../cli/ask-passphrase.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';

/** `skopeo generate-sigstore-key`. */
export const generateSigstoreKey: CommandSpec = {
  name: 'generate-sigstore-key',
  summary: 'Generate a sigstore key pair',
  usage: '[command options] --output-prefix PREFIX',
  examples: ['skopeo generate-sigstore-key --output-prefix my-key'],
  flags: [
    { name: 'output-prefix', kind: 'string', usage: 'write the keys to `PREFIX`.pub and PREFIX.private' },
    { name: 'passphrase-file', kind: 'string', usage: 'take the passphrase from the first line of `FILE`' },
  ],
  async run(context) {
    const { flags, args, io } = context;
    const prefix = flags.string('output-prefix');
    if (args.length !== 0 || prefix === '')
      throw new UsageError('usage', 'Usage: generate-sigstore-key --output-prefix PREFIX');
    const publicPath = `${prefix}.pub`;
    const privatePath = `${prefix}.private`;
    for (const path of [publicPath, privatePath]) await refuseExisting(context, path);
    const { generateSigstoreKey: generate } = await import('../../../sign/sigstore/private-key.ts');
    const keys = await generate(Buffer.from(await passphraseFor(context, privatePath)));
    const place = (path: string) => resolve(io.workingDirectory, path);
    await writeFile(place(privatePath), keys.privateKey, { mode: 0o600, flag: 'wx' });
    await writeFile(place(publicPath), keys.publicKey, { mode: 0o644, flag: 'wx' });
    context.print(`Key written to ${JSON.stringify(privatePath)} and ${JSON.stringify(publicPath)}`);
  },
};

async function passphraseFor(context: CommandContext, keyFile: string): Promise<string> {
  const file = context.flags.string('passphrase-file');
  if (file === '') return askPassphrase(context.io, keyFile);
  const { readPassphraseFile } = await import('../../../sign/sigstore/signer-from-parameters.ts');
  return readPassphraseFile(resolve(context.io.workingDirectory, file));
}

async function refuseExisting({ io }: CommandContext, path: string): Promise<void> {
  try {
    await lstat(resolve(io.workingDirectory, path));
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return;
    throw error;
  }
  throw new UsageError('usage', `Refusing to overwrite existing ${JSON.stringify(path)}`);
}
