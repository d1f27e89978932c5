import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ImageSigner } from '../../transport/contract.ts';
import { askPassphrase } from './ask-passphrase.ts';
import type { CommandContext, FlagSpec, Flags } from './contract.ts';
import { UsageError } from './error.ts';
import { proxiedFetch } from './proxied-fetch.ts';
import { packageVersion } from './version.ts';

/** The signing flags of skopeo copy and sync, and of buildah push. */
export function signingFlags(): FlagSpec[] {
  return [
    {
      name: 'sign-by',
      kind: 'string',
      usage: 'sign with the OpenPGP key `FINGERPRINT` of gpg, or with an armored secret key file',
    },
    {
      name: 'sign-by-sq-fingerprint',
      kind: 'string',
      usage: 'sign with the key `FINGERPRINT` of the Sequoia-PGP key store',
    },
    { name: 'sign-by-sigstore', kind: 'string', usage: 'sign as the sigstore parameter file at `PATH` says' },
    {
      name: 'sign-by-sigstore-private-key',
      kind: 'string',
      usage: 'sign with the sigstore private key at `PATH`',
    },
    { name: 'sign-passphrase-file', kind: 'string', usage: 'read the passphrase of the key from `PATH`' },
  ];
}

/** Which signatures are wanted; absent and empty both mean: not this one. */
export interface SigningChoice {
  readonly signBy?: string;
  readonly sequoiaFingerprint?: string;
  readonly sigstoreParameters?: string;
  readonly sigstorePrivateKey?: string;
  readonly passphraseFile?: string;
}

/** The choice of a command that declares {@link signingFlags}. */
export function signingChoice(flags: Flags): SigningChoice {
  return {
    signBy: flags.string('sign-by'),
    sequoiaFingerprint: flags.string('sign-by-sq-fingerprint'),
    sigstoreParameters: flags.string('sign-by-sigstore'),
    sigstorePrivateKey: flags.string('sign-by-sigstore-private-key'),
    passphraseFile: flags.string('sign-passphrase-file'),
  };
}

/** The signers for a choice. @throws UsageError `usage`; SignError */
export async function imageSigners(context: CommandContext, choice: SigningChoice): Promise<ImageSigner[]> {
  const { signBy, sequoiaFingerprint, sigstoreParameters, sigstorePrivateKey, passphraseFile } = choice;
  const passphraseUsers = [signBy, sequoiaFingerprint, sigstorePrivateKey].filter(Boolean);
  if (passphraseFile && passphraseUsers.length > 1)
    throw new UsageError(
      'usage',
      'Only one of --sign-by, --sign-by-sq-fingerprint and --sign-by-sigstore-private-key can be used with --sign-passphrase-file',
    );
  if (passphraseUsers.length === 0 && !sigstoreParameters) return [];
  const { readPassphraseFile } = await import('../../sign/sigstore/signer-from-parameters.ts');
  const passphrase = passphraseFile
    ? await readPassphraseFile(resolve(context.io.workingDirectory, passphraseFile))
    : undefined;
  return [
    ...(sigstoreParameters ? [await parameterSigner(context, sigstoreParameters)] : []),
    ...(signBy ? [await simpleSigner(context, signBy, passphrase)] : []),
    ...(sequoiaFingerprint ? [await sequoiaSigner(context, sequoiaFingerprint, passphrase)] : []),
    ...(sigstorePrivateKey ? [await privateKeySigner(context, sigstorePrivateKey, passphrase)] : []),
  ];
}

const common = () => ({ creator: `slipway ${packageVersion()}`, now: Date.now });

/** A key that looks like a path is an armored secret key; anything else is for gpg to find. */
export async function simpleSigner(
  { io, signal }: Pick<CommandContext, 'io' | 'signal'>,
  key: string,
  passphrase: string | undefined,
): Promise<ImageSigner> {
  const { createSimpleSigner } = await import('../../sign/simple/signer.ts');
  return createSimpleSigner({
    ...common(),
    ...(passphrase !== undefined && { passphrase }),
    key: await simpleKey({ io, signal }, key),
  });
}

/** A key of Sequoia's own store. */
async function sequoiaSigner(
  { io }: CommandContext,
  fingerprint: string,
  passphrase: string | undefined,
): Promise<ImageSigner> {
  const [{ createSimpleSigner }, { sequoiaData, sequoiaSecretKey }] = await Promise.all([
    import('../../sign/simple/signer.ts'),
    import('../../sign/simple/sequoia-home.ts'),
  ]);
  const keyFile = await sequoiaSecretKey(sequoiaData(io.environment), fingerprint);
  return createSimpleSigner({
    ...common(),
    ...(passphrase !== undefined && { passphrase }),
    key: { from: 'file', keyFile },
  });
}

/** Where the secret key of `--sign-by` is. */
export async function simpleKey({ io, signal }: Pick<CommandContext, 'io' | 'signal'>, key: string) {
  if (/[/\\]|\.(?:asc|pgp|gpg|key)$/.test(key))
    return { from: 'file' as const, keyFile: await readFile(resolve(io.workingDirectory, key)) };
  return { from: 'gpg' as const, key, gpg: { environment: io.environment, signal } };
}

async function privateKeySigner(
  { io }: CommandContext,
  path: string,
  passphrase: string | undefined,
): Promise<ImageSigner> {
  const [{ createSigstoreSigner }, { identityFromKeyFile }] = await Promise.all([
    import('../../sign/sigstore/signer.ts'),
    import('../../sign/sigstore/signer-from-parameters.ts'),
  ]);
  const secret = passphrase ?? (await askPassphrase(io, path));
  return createSigstoreSigner({
    ...common(),
    identity: () => identityFromKeyFile(resolve(io.workingDirectory, path), secret),
  });
}

async function parameterSigner({ io, signal, note }: CommandContext, path: string): Promise<ImageSigner> {
  const [{ parseSigningParameters }, { signerFromParameters }] = await Promise.all([
    import('../../sign/sigstore/parameters.ts'),
    import('../../sign/sigstore/signer-from-parameters.ts'),
  ]);
  let text: string;
  try {
    text = await readFile(resolve(io.workingDirectory, path), 'utf8');
  } catch (cause) {
    throw new UsageError(
      'usage',
      `Error using --sign-by-sigstore: reading ${JSON.stringify(path)}: ${(cause as Error).message}`,
      { cause },
    );
  }
  return signerFromParameters(await parseSigningParameters(text, path), {
    ...common(),
    access: { fetch: proxiedFetch(io.environment), userAgent: `slipway/${packageVersion()}`, signal },
    askPassphrase: (keyFile) => askPassphrase(io, keyFile),
    onInstructions: note,
  });
}
