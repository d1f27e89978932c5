import { createHash } from 'node:crypto';
import type { Digest } from '../image/digest.ts';
import { ImageError } from '../image/error.ts';
import type { SignatureBlob } from '../image/signature.ts';
import { printable, SignError } from './error.ts';
import type { SignaturePayload } from './payload.ts';
import { parsePayload } from './payload.ts';
import { SIGSTORE_SIGNATURE_TYPE } from './sigstore/annotations.ts';
import { verifyBundle } from './sigstore/bundle.ts';
import { keyDer } from './sigstore/public-key.ts';
import { type SigstoreTrust, verifyAttachment } from './sigstore/trust-root.ts';
import type { Keyring } from './simple/keyring.ts';
import { verifyMessage } from './simple/verify.ts';

/** Anything beside an image that claims to sign it. */
export type FoundSignature =
  | SignatureBlob
  | { readonly kind: 'bundle'; readonly bytes: Uint8Array }
  | { readonly kind: 'notation' }
  | { readonly kind: 'broken'; readonly reason: string };

/** Everything known that could vouch for signatures. */
export interface KnownKeys {
  readonly ring?: Keyring;
  readonly sigstore: readonly SigstoreTrust[];
}

/** What became of one signature; `valid` is undefined for forms that are only listed. */
export interface SignatureVerdict {
  readonly valid: boolean | undefined;
  /** Who: a fingerprint, or a short name of the key or certificate. Verified only when valid. */
  readonly by?: string;
  /** The name that the signature is for, where its form carries one. */
  readonly identity?: string;
  /** Why it is not valid. */
  readonly reason?: string;
}

/**
 * Checks one signature against a manifest and every known key. Never throws for a bad signature.
 * @param nowMs milliseconds since the epoch
 */
export function judgeSignature(
  found: FoundSignature,
  manifest: Digest,
  known: KnownKeys,
  nowMs: number,
): SignatureVerdict {
  try {
    return judge(found, manifest, known, nowMs);
  } catch (error) {
    if (!(error instanceof SignError) && !(error instanceof ImageError)) throw error;
    return { valid: false, reason: error.message };
  }
}

function judge(found: FoundSignature, manifest: Digest, known: KnownKeys, nowMs: number): SignatureVerdict {
  switch (found.kind) {
    case 'broken':
      return { valid: false, reason: found.reason };
    case 'notation':
      return { valid: undefined, reason: 'Notation signatures are listed, not verified' };
    case 'simple': {
      if (!known.ring || known.ring.keys.length === 0)
        return { valid: false, reason: 'no OpenPGP key is known' };
      const message = verifyMessage(found.bytes, known.ring, nowMs);
      return verdict(parsePayload('simple', message.content), manifest, message.primaryFingerprint);
    }
    case 'sigstore': {
      if (found.mediaType !== SIGSTORE_SIGNATURE_TYPE)
        return {
          valid: undefined,
          reason: `an attachment of type ${printable(found.mediaType)}, not a signature`,
        };
      return firstGood(known.sigstore, (trust) =>
        verdict(verifyAttachment(trust, found, nowMs), manifest, describe(trust)),
      );
    }
    case 'bundle':
      return firstGood(
        known.sigstore.filter((trust) => !trust.pki),
        (trust) => {
          verifyBundle(found.bytes, manifest, trust);
          return { valid: true, by: describe(trust) };
        },
      );
  }
}

function verdict(payload: SignaturePayload, manifest: Digest, by: string): SignatureVerdict {
  const about = { by, identity: payload.reference };
  return payload.digest === manifest
    ? { valid: true, ...about }
    : { valid: false, ...about, reason: `Signature for digest ${payload.digest} does not match` };
}

function firstGood(
  trusts: readonly SigstoreTrust[],
  check: (trust: SigstoreTrust) => SignatureVerdict,
): SignatureVerdict {
  const reasons: string[] = [];
  for (const trust of trusts) {
    try {
      return check(trust);
    } catch (error) {
      if (!(error instanceof SignError) && !(error instanceof ImageError)) throw error;
      reasons.push(error.message);
    }
  }
  return {
    valid: false,
    reason: reasons.length > 0 ? [...new Set(reasons)].join('; ') : 'no sigstore key is known',
  };
}

function describe(trust: SigstoreTrust): string {
  if (trust.fulcio) return `${trust.fulcio.subjectEmail} by ${trust.fulcio.oidcIssuer}`;
  if (trust.pki) return trust.pki.subjectEmail ?? trust.pki.subjectHostname ?? 'certificate';
  const [key, ...more] = trust.keys ?? [];
  if (!key || more.length > 0) return `one of ${more.length + 1} keys`;
  return `key ${createHash('sha256').update(keyDer(key)).digest('hex').slice(0, 16)}`;
}
