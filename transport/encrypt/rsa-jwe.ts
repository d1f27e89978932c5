import {
  constants,
  createCipheriv,
  createDecipheriv,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../image/json.ts';

// Not by jose, since that refuses RSA keys under 2048 bits, which images of other tools are encrypted for.

const OAEP_HASHES: Readonly<Record<string, string>> = { 'RSA-OAEP': 'sha1', 'RSA-OAEP-256': 'sha256' };
const CIPHERS = { A128GCM: 'aes-128-gcm', A192GCM: 'aes-192-gcm', A256GCM: 'aes-256-gcm' } as const;
const TAG_BYTES = 16;

/** A JWE (RFC 7516, general serialization) for the holders of RSA keys: RSA-OAEP, A256GCM. */
export function wrapRsa(secret: Uint8Array, recipients: readonly KeyObject[]): Uint8Array {
  const contentKey = randomBytes(32);
  const iv = randomBytes(12);
  const protectedHeader = base64url(Buffer.from(JSON.stringify({ enc: 'A256GCM' })));
  const cipher = createCipheriv(CIPHERS.A256GCM, contentKey, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(protectedHeader, 'ascii'));
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
  const jwe = {
    protected: protectedHeader,
    recipients: recipients.map((key) => ({
      header: { alg: 'RSA-OAEP' },
      encrypted_key: base64url(publicEncrypt({ ...padding('sha1'), key }, contentKey)),
    })),
    iv: base64url(iv),
    ciphertext: base64url(ciphertext),
    tag: base64url(cipher.getAuthTag()),
  };
  return Buffer.from(JSON.stringify(jwe));
}

/** The secret, or undefined where the key is none of the recipients'. */
export function unwrapRsa(jwe: JsonObject, key: KeyObject): Uint8Array | undefined {
  const recipients = Array.isArray(jwe.recipients) ? jwe.recipients.filter(isJsonObject) : [jwe];
  for (const recipient of recipients) {
    try {
      const secret = unwrapFor(jwe, recipient, key);
      if (secret) return secret;
    } catch (error) {
      // OpenSSL's error for a key that does not fit, or for content that was changed.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }
  return undefined;
}

function unwrapFor(jwe: JsonObject, recipient: JsonObject, key: KeyObject): Uint8Array | undefined {
  const header = headerOf(jwe, recipient);
  const { alg, enc } = header;
  const hash = typeof alg === 'string' && Object.hasOwn(OAEP_HASHES, alg) ? OAEP_HASHES[alg] : undefined;
  const cipher =
    typeof enc === 'string' && Object.hasOwn(CIPHERS, enc) ? CIPHERS[enc as 'A256GCM'] : undefined;
  const tag = bytesOf(jwe.tag);
  if (!hash || !cipher || tag.length !== TAG_BYTES) return undefined;
  const contentKey = privateDecrypt({ ...padding(hash), key }, bytesOf(recipient.encrypted_key));
  const decipher = createDecipheriv(cipher, contentKey, bytesOf(jwe.iv), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(aadOf(jwe), 'ascii'));
  decipher.setAuthTag(tag);
  return Buffer.concat([decipher.update(bytesOf(jwe.ciphertext)), decipher.final()]);
}

/** All three headers as one; the protected one weighs most. */
function headerOf(jwe: JsonObject, recipient: JsonObject): JsonObject {
  const part = (value: unknown) => (isJsonObject(value) ? value : {});
  const own = jwe.protected ? parseJsonObject(bytesOf(jwe.protected), { what: 'JWE header' }) : {};
  return { ...part(jwe.unprotected), ...part(recipient.header), ...own };
}

function aadOf({ protected: header, aad }: JsonObject): string {
  const text = typeof header === 'string' ? header : '';
  return typeof aad === 'string' ? `${text}.${aad}` : text;
}

function padding(oaepHash: string) {
  return { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash };
}

function bytesOf(value: unknown): Buffer {
  return Buffer.from(typeof value === 'string' ? value : '', 'base64url');
}

function base64url(bytes: Buffer): string {
  return bytes.toString('base64url');
}
