import { createPublicKey, type KeyObject } from 'node:crypto';
import { isJsonObject, parseJsonObject } from '../../image/json.ts';
import { TransportError } from '../error.ts';

const KEY_ALGORITHMS = ['RSA-OAEP', 'RSA-OAEP-256', 'ECDH-ES+A128KW', 'ECDH-ES+A192KW', 'ECDH-ES+A256KW'];

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

/** A JWE for all recipients (RFC 7516), content encrypted with A256GCM, as ocicrypt writes it. */
export async function wrapJwe(secret: Uint8Array, recipients: readonly KeyObject[]): Promise<Uint8Array> {
  const { GeneralEncrypt } = await import('jose');
  const jwe = new GeneralEncrypt(secret).setProtectedHeader({ enc: 'A256GCM' });
  for (const key of recipients) {
    const alg = key.asymmetricKeyType === 'ec' ? 'ECDH-ES+A256KW' : 'RSA-OAEP';
    jwe.addRecipient(key).setUnprotectedHeader({ alg });
  }
  return Buffer.from(JSON.stringify(await jwe.encrypt()));
}

/** The secret, or undefined where none of the keys fits. */
export async function unwrapJwe(
  wrapped: Uint8Array,
  keys: readonly KeyObject[],
): Promise<Uint8Array | undefined> {
  const { generalDecrypt, flattenedDecrypt, errors } = await import('jose');
  const json: unknown = JSON.parse(JSON.stringify(parseJsonObject(wrapped, { what: 'wrapped key' })));
  const options = { keyManagementAlgorithms: KEY_ALGORITHMS };
  for (const key of keys) {
    try {
      const result =
        isJsonObject(json) && Array.isArray(json.recipients)
          ? await generalDecrypt(json as unknown as Parameters<typeof generalDecrypt>[0], key, options)
          : await flattenedDecrypt(json as Parameters<typeof flattenedDecrypt>[0], key, options);
      return result.plaintext;
    } catch (error) {
      if (!(error instanceof errors.JOSEError) && !(error instanceof TypeError)) throw error;
    }
  }
  return undefined;
}
