import { createPublicKey, type KeyObject } from 'node:crypto';
import { formatSigstoreKey } from './public-key.ts';

/** What signs: a private key alone, or one that a Fulcio certificate vouches for. */
export interface SigstoreIdentity {
  readonly privateKey: KeyObject;
  /** PEM of the leaf certificate and of what stands above it. */
  readonly certificate?: string;
  readonly chain?: string;
}

/** What verifies the signature: the certificate where there is one, else the public key. PEM. */
export function publicPart(identity: SigstoreIdentity): string {
  return identity.certificate ?? formatSigstoreKey(createPublicKey(identity.privateKey));
}
