import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ImageSigner } from '../../../transport/contract.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { packageVersion } from '../../cli/version.ts';
import { askPassphrase } from './passphrase.ts';
import { prefixed } from './surroundings.ts';

/**
 * The signers that the `--sign-by…` flags ask for, in Skopeo's order.
 * @throws UsageError for a passphrase that could mean several keys; SignError
 */
export async function openSigners(context: CommandContext): Promise<readonly ImageSigner[]> {
  const { flags } = context;
  const simple = flags.string('sign-by');
  const sequoia = flags.string('sign-by-sq-fingerprint');
  const parameters = flags.string('sign-by-sigstore');
  const key = flags.string('sign-by-sigstore-private-key');
  if (![simple, sequoia, parameters, key].some(Boolean)) return [];
  const passphraseFile = flags.string('sign-passphrase-file');
  if (passphraseFile && [simple, sequoia, key].filter(Boolean).length > 1)
    throw new UsageError(
      'usage',
      'Only one of --sign-by, --sign-by-sq-fingerprint and --sign-by-sigstore-private-key can be used with --sign-passphrase-file',
    );
  const passphrase = passphraseFile ? await readPassphrase(context, passphraseFile) : undefined;
  const signers: ImageSigner[] = [];
  if (parameters) signers.push(await fromParameters(context, parameters));
  if (sequoia) signers.push(await fromSequoia(context, sequoia, passphrase));
  if (simple) signers.push(await fromGpg(context, simple, passphrase));
  if (key) signers.push(await fromKeyFile(context, key, passphrase));
  return signers;
}

const creator = () => `slipway ${packageVersion()}`;

async function readPassphrase({ io }: CommandContext, file: string): Promise<string> {
  const { readPassphraseFile } = await import('../../../sign/sigstore/signer-from-parameters.ts');
  return readPassphraseFile(resolve(io.workingDirectory, file));
}

async function fromGpg(context: CommandContext, key: string, passphrase?: string): Promise<ImageSigner> {
  const { createSimpleSigner } = await import('../../../sign/simple/signer.ts');
  return createSimpleSigner({
    key: { from: 'gpg', key, gpg: { environment: context.io.environment, signal: context.signal } },
    ...(passphrase === undefined ? {} : { passphrase }),
    creator: creator(),
    now: Date.now,
  });
}

async function fromSequoia(context: CommandContext, key: string, passphrase?: string): Promise<ImageSigner> {
  const { createSequoiaSigner } = await import('./sequoia.ts');
  return createSequoiaSigner(key, {
    environment: context.io.environment,
    ...(passphrase === undefined ? {} : { passphrase }),
    creator: creator(),
    now: Date.now,
    signal: context.signal,
  });
}

async function fromKeyFile(context: CommandContext, file: string, passphrase?: string): Promise<ImageSigner> {
  const { createSigstoreSigner } = await import('../../../sign/sigstore/signer.ts');
  const { identityFromKeyFile } = await import('../../../sign/sigstore/signer-from-parameters.ts');
  const words = passphrase ?? (await askPassphrase(context, file));
  const path = resolve(context.io.workingDirectory, file);
  return createSigstoreSigner({
    creator: creator(),
    now: Date.now,
    identity: () => identityFromKeyFile(path, words),
  });
}

async function fromParameters(context: CommandContext, file: string): Promise<ImageSigner> {
  const { parseSigningParameters } = await import('../../../sign/sigstore/parameters.ts');
  const { signerFromParameters } = await import('../../../sign/sigstore/signer-from-parameters.ts');
  const path = resolve(context.io.workingDirectory, file);
  const text = await readFile(path, 'utf8').catch(prefixed('Error using --sign-by-sigstore'));
  const parameters = await parseSigningParameters(text, path);
  return signerFromParameters(parameters, {
    access: { fetch: globalThis.fetch, userAgent: creator(), signal: context.signal },
    askPassphrase: (keyFile) => askPassphrase(context, keyFile),
    onInstructions: (text) => context.io.stdout.write(`${text}\n`),
    creator: creator(),
    now: Date.now,
  });
}
