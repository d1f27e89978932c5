import type { KeyObject } from 'node:crypto';
import { decodeBase64, type SignatureBlob } from '../../image/signature.ts';
import { invalid, SignError } from '../error.ts';
import { parsePayload, type SignaturePayload } from '../payload.ts';
import { ANNOTATION, requiredAnnotation } from './annotations.ts';
import {
  type FulcioTrust,
  type PkiTrust,
  verifyFulcioCertificate,
  verifyPkiCertificate,
} from './certificate-identity.ts';
import { formatSigstoreKey, verifyBlob } from './public-key.ts';
import { verifyEntryTimestamp } from './rekor-entry.ts';
import type { TimeAuthority } from './timestamp.ts';
import type { LogKey } from './transparency-log.ts';

/** Who may have signed: exactly one of keys, fulcio and pki; fulcio needs logKeys, pki has none. */
export interface SigstoreTrust {
  readonly keys?: readonly KeyObject[];
  readonly fulcio?: FulcioTrust;
  readonly pki?: PkiTrust;
  /** Given: the signature must be in a log that one of these keys belongs to. */
  readonly logKeys?: readonly LogKey[];
  /** Vouch for the time of bundles that no log dates. */
  readonly timeAuthorities?: readonly TimeAuthority[];
}

export type SigstoreBlob = SignatureBlob & { readonly kind: 'sigstore' };

/**
 * Verifies an attachment's signature and reads its payload. Whether the payload speaks of the right image is up to
 * the caller.
 * @param nowMs milliseconds since the epoch
 * @throws SignError `invalid-signature`; ImageError
 */
export function verifyAttachment(
  trust: SigstoreTrust,
  signature: SigstoreBlob,
  nowMs: number,
): SignaturePayload {
  const bytes = decodeBase64(requiredAnnotation(signature.annotations, ANNOTATION.signature));
  const keys = acceptedKeys(trust, signature, bytes, nowMs);
  if (!keys.some((key) => verifyBlob(key, signature.payload, bytes)))
    throw invalid(
      'cryptographic signature verification failed: invalid signature when validating encoded signature',
    );
  return parsePayload('sigstore', signature.payload);
}

/** The keys that may have made this signature; certificates and log entries are checked on the way. */
function acceptedKeys(
  trust: SigstoreTrust,
  { annotations, payload }: SigstoreBlob,
  signature: Uint8Array,
  nowMs: number,
): readonly KeyObject[] {
  if (trust.keys && !trust.logKeys) return trust.keys;
  if (trust.pki) {
    const certificate = requiredAnnotation(annotations, ANNOTATION.certificate);
    return [verifyPkiCertificate(trust.pki, certificate, annotations[ANNOTATION.chain], nowMs)];
  }
  const entry = requiredAnnotation(annotations, ANNOTATION.bundle);
  const logKeys = trust.logKeys ?? [];
  if (trust.fulcio) {
    const certificate = requiredAnnotation(annotations, ANNOTATION.certificate);
    const atMs = verifyEntryTimestamp(logKeys, entry, { keyOrCertificate: certificate, signature, payload });
    return [verifyFulcioCertificate(trust.fulcio, certificate, annotations[ANNOTATION.chain], atMs)];
  }
  return loggedKeys(trust.keys ?? [], (key) =>
    verifyEntryTimestamp(logKeys, entry, { keyOrCertificate: formatSigstoreKey(key), signature, payload }),
  );
}

/** The key that the log entry is about. */
function loggedKeys(keys: readonly KeyObject[], check: (key: KeyObject) => number): readonly KeyObject[] {
  const failures: string[] = [];
  for (const key of keys) {
    try {
      check(key);
      return [key];
    } catch (error) {
      if (!(error instanceof SignError)) throw error;
      failures.push(error.message);
    }
  }
  throw invalid(`No public key verified against the RekorSET: ${failures.join(', ')}`);
}
