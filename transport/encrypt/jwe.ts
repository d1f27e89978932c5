import { createPublicKey, type KeyObject } from 'node:crypto';
import { type JsonObject, parseJsonObject } from '../../image/json.ts';
import { TransportError } from '../error.ts';
import { unwrapRsa, wrapRsa } from './rsa-jwe.ts';

const KEY_ALGORITHMS = ['ECDH-ES+A128KW', 'ECDH-ES+A192KW', 'ECDH-ES+A256KW'];

/** A public key in PEM, DER (SubjectPublicKeyInfo) or JWK. @throws TransportError `bad-option` */
export function readPublicKey(bytes: Buffer, name: string): KeyObject {
  const attempts = [
    () => createPublicKey(bytes),
    () => createPublicKey({ key: bytes, format: 'der', type: 'spki' }),
    () => createPublicKey({ key: JSON.parse(bytes.toString()), format: 'jwk' }),
  ];
  for (const attempt of attempts) {
    try {
      return attempt();
    } catch {
      // The next form may fit.
    }
  }
  throw new TransportError('bad-option', `${name}: File provided is not a public key`);
}

/** JWEs for all recipients (RFC 7516), one for each kind of key, with A256GCM as ocicrypt writes them. */
export async function wrapJwe(secret: Uint8Array, recipients: readonly KeyObject[]): Promise<Uint8Array[]> {
  const rsa = recipients.filter(isRsa);
  const others = recipients.filter((key) => !isRsa(key));
  return [
    ...(rsa.length ? [wrapRsa(secret, rsa)] : []),
    ...(others.length ? [await wrapEc(secret, others)] : []),
  ];
}

async function wrapEc(secret: Uint8Array, recipients: readonly KeyObject[]): Promise<Uint8Array> {
  const { GeneralEncrypt } = await import('jose');
  const jwe = new GeneralEncrypt(secret).setProtectedHeader({ enc: 'A256GCM' });
  for (const key of recipients) jwe.addRecipient(key).setUnprotectedHeader({ alg: 'ECDH-ES+A256KW' });
  return Buffer.from(JSON.stringify(await jwe.encrypt()));
}

function isRsa(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'rsa';
}

/** The secret, or undefined where none of the keys fits. */
export async function unwrapJwe(
  wrapped: Uint8Array,
  keys: readonly KeyObject[],
): Promise<Uint8Array | undefined> {
  const jwe = parseJsonObject(wrapped, { what: 'wrapped key' });
  for (const key of keys) {
    const secret = isRsa(key) ? unwrapRsa(jwe, key) : await unwrapEc(jwe, key);
    if (secret) return secret;
  }
  return undefined;
}

async function unwrapEc(jwe: JsonObject, key: KeyObject): Promise<Uint8Array | undefined> {
  const { generalDecrypt, flattenedDecrypt, errors } = await import('jose');
  const json: unknown = JSON.parse(JSON.stringify(jwe));
  const options = { keyManagementAlgorithms: KEY_ALGORITHMS };
  try {
    const result = Array.isArray(jwe.recipients)
      ? await generalDecrypt(json as Parameters<typeof generalDecrypt>[0], key, options)
      : await flattenedDecrypt(json as Parameters<typeof flattenedDecrypt>[0], key, options);
    return result.plaintext;
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
    throw error;
  }
}
