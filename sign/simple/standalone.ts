import { ImageError } from '../../image/error.ts';
import { matchesManifestDigest } from '../../image/manifest.ts';
import { formatReference, type NamedReference, parseReference } from '../../image/reference.ts';
import { invalid, printable } from '../error.ts';
import { parsePayload, type SignaturePayload } from '../payload.ts';
import type { Keyring } from './keyring.ts';
import { readSignedMessage } from './message.ts';
import { verifyMessage } from './verify.ts';

export interface StandaloneVerification {
  /** Of the certificate whose key signed. */
  readonly fingerprint: string;
  readonly payload: SignaturePayload;
}

/**
 * `standalone-verify`: one signature over one manifest for one name, by one of the named keys.
 * @param fingerprints upper-case primary fingerprints; `['any']` accepts every key of the ring
 * @param nowMs milliseconds since the epoch
 * @throws SignError `invalid-signature`; ImageError `bad-reference`
 */
export function verifyStandalone(
  input: { readonly manifest: Uint8Array; readonly reference: string; readonly signature: Uint8Array },
  ring: Keyring,
  fingerprints: readonly string[],
  nowMs: number,
): StandaloneVerification {
  const expected = formatReference(parseReference(input.reference));
  const accepted = fingerprints.length === 1 && fingerprints[0] === 'any' ? ring.fingerprints : fingerprints;
  const message = verifyMessage(input.signature, ring, nowMs);
  if (!accepted.includes(message.primaryFingerprint) && !accepted.includes(message.fingerprint)) {
    const of = message.fingerprint === message.primaryFingerprint ? '' : ` of ${message.primaryFingerprint}`;
    throw invalid(`signature by key ${message.fingerprint}${of} is not accepted`);
  }
  const payload = parsePayload('simple', message.content);
  if (!matchesManifestDigest(input.manifest, payload.digest))
    throw invalid(`Signature for docker digest ${printable(payload.digest)} does not match`);
  if (formatReference(signedReference(payload.reference)) !== expected)
    throw invalid(
      `Docker reference ${printable(payload.reference)} does not match ${printable(input.reference)}`,
    );
  return {
    fingerprint: accepted.includes(message.fingerprint) ? message.fingerprint : message.primaryFingerprint,
    payload,
  };
}

/** What a signature claims, WITHOUT any verification: only for people who debug. */
export function dumpUntrusted(signature: Uint8Array): {
  readonly payload: SignaturePayload;
  readonly keyId: string;
} {
  const message = readSignedMessage(signature);
  const { issuerKeyId, issuerFingerprint } = message.signature;
  return {
    payload: parsePayload('simple', message.content),
    keyId: issuerKeyId ?? issuerFingerprint?.slice(-16) ?? '',
  };
}

function signedReference(text: string): NamedReference {
  try {
    return parseReference(text);
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw invalid(`Invalid docker reference ${printable(text)} in signature`, cause);
  }
}
