import { manifestDigest } from '../../image/manifest.ts';
import { formatReference } from '../../image/reference.ts';
import { SignError } from '../error.ts';
import { formatPayload } from '../payload.ts';
import type { Signer } from '../signer.ts';
import { type GpgOptions, gpgSecretKey, gpgSign } from './gpg.ts';

/** Where the secret key of a simple signature is. */
export type SimpleKey =
  | { readonly from: 'gpg'; readonly key: string; readonly gpg: GpgOptions }
  | { readonly from: 'file'; readonly keyFile: Uint8Array };

export interface SimpleSignerOptions {
  readonly key: SimpleKey;
  /** Without a line break. */
  readonly passphrase?: string;
  /** `slipway 1.2.3`, kept in the payload. */
  readonly creator: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * Signs manifests with OpenPGP: containers-signature(5).
 * @throws SignError `bad-parameters` for a passphrase with a line break, which gpg cannot take
 */
export function createSimpleSigner(options: SimpleSignerOptions): Signer<'simple'> {
  if (options.passphrase?.includes('\n'))
    throw new SignError('bad-parameters', 'invalid passphrase: must not contain a line break');
  return {
    kind: 'simple',
    async prepare() {
      if (options.key.from === 'gpg') await gpgSecretKey(options.key.key, options.key.gpg);
      await signBytes(Buffer.from('{}'), options);
    },
    async sign(manifest, identity) {
      const bytes = await signManifest(manifest, formatReference(identity), options);
      return { kind: 'simple', bytes };
    },
  };
}

/**
 * `standalone-sign`: the signature's bytes for a reference as it was typed.
 * @throws SignError
 */
export async function signManifest(
  manifest: Uint8Array,
  reference: string,
  options: SimpleSignerOptions,
): Promise<Uint8Array> {
  if (reference === '') throw new SignError('bad-parameters', 'Unexpected empty signature content');
  const payload = formatPayload('simple', {
    digest: manifestDigest(manifest),
    reference,
    creator: options.creator,
    timestamp: Math.floor(options.now() / 1000),
  });
  return signBytes(payload, options);
}

async function signBytes(content: Uint8Array, options: SimpleSignerOptions): Promise<Uint8Array> {
  const { key, passphrase } = options;
  if (key.from === 'gpg')
    return gpgSign(content, { ...key.gpg, key: key.key, ...(passphrase ? { passphrase } : {}) });
  const { signWithKeyFile } = await import('./sign-with-key-file.ts');
  return signWithKeyFile(content, key.keyFile, passphrase);
}
