import { readFile } from 'node:fs/promises';
import { isSystemError } from '../../errors.ts';
import { SignError } from '../error.ts';
import type { ServiceAccess } from './http.ts';
import type { SigstoreIdentity } from './identity.ts';
import type { SigningParameters } from './parameters.ts';
import { decryptPrivateKey } from './private-key.ts';
import { createSigstoreSigner } from './signer.ts';

export interface ParameterSignerOptions {
  readonly access: ServiceAccess;
  /** Asks a person for the passphrase of a key file. */
  readonly askPassphrase: (keyFile: string) => Promise<string>;
  /** Shows what a person must do to log in. */
  readonly onInstructions: (text: string) => void;
  readonly creator: string;
  readonly now: () => number;
}

/** The signer that a parameter file describes (`--sign-by-sigstore`). */
export function signerFromParameters(parameters: SigningParameters, options: ParameterSignerOptions) {
  const { rekorUrl } = parameters;
  return createSigstoreSigner({
    creator: options.creator,
    now: options.now,
    identity: () => identityOf(parameters, options),
    ...(rekorUrl && {
      log: async (logged) => {
        const { uploadToRekor } = await import('./rekor-client.ts');
        return uploadToRekor(rekorUrl, logged, options.access);
      },
      logEnvelope: async (envelope, keyOrCertificate) => {
        const { logEnvelope } = await import('./rekor-client.ts');
        return logEnvelope(rekorUrl, envelope, keyOrCertificate, options.access);
      },
    }),
  });
}

/** Opens an encrypted key file (`--sign-by-sigstore-private-key`). @throws SignError `bad-key`, `bad-passphrase` */
export async function identityFromKeyFile(path: string, passphrase: string): Promise<SigstoreIdentity> {
  const pem = await readText(path, 'private key');
  return { privateKey: await decryptPrivateKey(pem, Buffer.from(passphrase)) };
}

/**
 * The first line of a passphrase file, as gpg reads it.
 * @throws SignError `bad-passphrase`
 */
export async function readPassphraseFile(path: string): Promise<string> {
  return (await readText(path, 'passphrase')).split('\n', 1)[0] as string;
}

async function identityOf(
  { privateKeyFile, privateKeyPassphraseFile, fulcio }: SigningParameters,
  options: ParameterSignerOptions,
): Promise<SigstoreIdentity> {
  if (privateKeyFile !== undefined) {
    const passphrase = privateKeyPassphraseFile
      ? await readPassphraseFile(privateKeyPassphraseFile)
      : await options.askPassphrase(privateKeyFile);
    return identityFromKeyFile(privateKeyFile, passphrase);
  }
  if (!fulcio) throw new Error('parameters without a key were let through');
  const { requestCertificate } = await import('./fulcio-client.ts');
  return requestCertificate(fulcio.fulcioUrl, await idTokenOf(fulcio, options), options.access);
}

async function idTokenOf(
  fulcio: NonNullable<SigningParameters['fulcio']>,
  options: ParameterSignerOptions,
): Promise<string> {
  if (fulcio.oidcMode === 'staticToken') return fulcio.idToken;
  // Without a browser of our own the interactive mode is the device grant: the person opens the page.
  const { requestIdToken } = await import('./device-grant.ts');
  return requestIdToken({ ...fulcio, onInstructions: options.onInstructions }, options.access);
}

async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new SignError(
      what === 'passphrase' ? 'bad-passphrase' : 'bad-key',
      `reading ${what} from ${path}: ${cause.message}`,
      { cause, facts: { path } },
    );
  }
}
