import { invalid, SignError } from '../error.ts';
import { findKeys, type Keyring, type VerificationKey } from './keyring.ts';
import { readSignedMessage } from './message.ts';
import { isMadeBy, type SignaturePacket } from './signature-packet.ts';

/** What a valid signature covers, and who made it. */
export interface VerifiedMessage {
  /** The signed bytes; nothing else of the message may be used. */
  readonly content: Uint8Array;
  /** Upper-case hex of the key that signed, perhaps a subkey. */
  readonly fingerprint: string;
  /** Of the certificate it belongs to: what policies and `standalone-verify` compare. */
  readonly primaryFingerprint: string;
  /** Seconds since the epoch. */
  readonly created: number;
}

/**
 * Verifies an inline-signed OpenPGP message as GnuPG would: the key is in the ring, may sign, is neither revoked nor
 * expired now, and the signature has not expired, is not from the future, and was not made before its key.
 * @param nowMs milliseconds since the epoch
 * @throws SignError `invalid-signature`
 */
export function verifyMessage(bytes: Uint8Array, ring: Keyring, nowMs: number): VerifiedMessage {
  const { signature, content } = readSignedMessage(bytes);
  const candidates = findKeys(ring, signature);
  if (candidates.length === 0)
    throw invalid(
      `Key not found for key ID ${signature.issuerFingerprint ?? signature.issuerKeyId ?? '(none)'} in signature`,
    );
  let reason: SignError | undefined;
  for (const key of candidates) {
    try {
      checkTimes(signature, key, Math.floor(nowMs / 1000));
      if (!isMadeBy(signature, key.packet, [content]))
        throw invalid('Invalid GPG signature: the signature does not match the data');
      return {
        content,
        fingerprint: key.packet.fingerprint,
        primaryFingerprint: key.primaryFingerprint,
        created: signature.created,
      };
    } catch (error) {
      if (!(error instanceof SignError)) throw error;
      reason ??= error;
    }
  }
  throw reason ?? invalid('Invalid GPG signature');
}

function checkTimes(signature: SignaturePacket, key: VerificationKey, now: number): void {
  const refuse = (why: string) => invalid(`Invalid GPG signature: ${why}`);
  const name = `key ${key.packet.fingerprint}`;
  if (key.unusable !== undefined) throw refuse(`${name}: ${key.unusable}`);
  if (key.revoked) throw refuse(`${name} is revoked`);
  if (key.expires !== undefined && key.expires <= now)
    throw refuse(`${name} expired on ${date(key.expires)}`);
  if (signature.created > now) throw refuse(`it is dated ${date(signature.created)}, in the future`);
  if (signature.created < key.packet.created) throw refuse(`it is older than ${name}`);
  if (signature.lifetime && signature.created + signature.lifetime <= now)
    throw refuse(`Signature expired on ${date(signature.created + signature.lifetime)}`);
}

function date(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
