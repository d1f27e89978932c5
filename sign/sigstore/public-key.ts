import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { SignError } from '../error.ts';
import { formatPem, readOnePem } from './pem.ts';

const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1', 'secp521r1'];

/**
 * A sigstore public key: ECDSA on a NIST curve, RSA of 2048 to 16384 bits, or Ed25519, in PEM.
 * @throws SignError `bad-key`
 */
export function parseSigstoreKey(pem: Uint8Array | string): KeyObject {
  const block = readOnePem(pem, 'public key');
  if (block.label !== 'PUBLIC KEY' && block.label !== 'RSA PUBLIC KEY')
    throw new SignError('bad-key', `unknown Public key PEM file type: ${block.label}`);
  let key: KeyObject;
  try {
    key = createPublicKey({
      key: Buffer.from(block.der),
      format: 'der',
      type: block.label === 'PUBLIC KEY' ? 'spki' : 'pkcs1',
    });
  } catch (cause) {
    throw new SignError('bad-key', 'malformed public key', { cause });
  }
  return checkStrength(key);
}

/** @throws SignError `bad-key` for a kind or size that sigstore does not take */
export function checkStrength(key: KeyObject): KeyObject {
  const { modulusLength = 0, publicExponent = 0n, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ec':
      if (CURVES.includes(namedCurve)) return key;
      throw new SignError('bad-key', `unsupported elliptic curve ${namedCurve}`);
    case 'rsa':
      if (modulusLength >= 2048 && modulusLength <= 16_384 && publicExponent >= 65_537n) return key;
      throw new SignError('bad-key', `RSA key of ${modulusLength} bits is too weak`);
    case 'ed25519':
      return key;
    default:
      throw new SignError('bad-key', `unsupported key type ${key.asymmetricKeyType}`);
  }
}

/** Attachments are always signed over SHA-256; bundles over the hash that fits the curve. */
export type HashRule = 'sha256' | 'by-curve';

export function hashFor(key: KeyObject, rule: HashRule): string {
  if (rule === 'sha256') return rule;
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  return namedCurve === 'secp384r1' ? 'sha384' : namedCurve === 'secp521r1' ? 'sha512' : 'sha256';
}

/** Whether `key` made `signature` over `data` (Ed25519 hashes by itself). */
export function verifyBlob(
  key: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
  rule: HashRule = 'sha256',
): boolean {
  return verifyDigest(key, hashFor(key, rule), data, signature);
}

/** Whether `key` made `signature` over data of a hash that the signer chose (timestamps). */
export function verifyDigest(key: KeyObject, hash: string, data: Uint8Array, signature: Uint8Array): boolean {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return verify(hash, data, { key, dsaEncoding: 'der' }, signature);
    case 'rsa':
      return verify(hash, data, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
    case 'ed25519':
      return verify(null, data, key, signature);
    default:
      return false;
  }
}

/** The key in the PEM form that Cosign and Rekor use. */
export function formatSigstoreKey(key: KeyObject): string {
  return formatPem('PUBLIC KEY', keyDer(key));
}

/** SubjectPublicKeyInfo. */
export function keyDer(key: KeyObject): Uint8Array {
  return key.export({ type: 'spki', format: 'der' });
}
