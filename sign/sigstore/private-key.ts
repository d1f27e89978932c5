import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  scrypt,
  sign,
} from 'node:crypto';
import { promisify } from 'node:util';
import { ImageError } from '../../image/error.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../image/json.ts';
import { decodeBase64 } from '../../image/signature.ts';
import { SignError } from '../error.ts';
import { formatPem, readOnePem } from './pem.ts';
import { checkStrength, formatSigstoreKey, type HashRule, hashFor } from './public-key.ts';

/** Cosign reads both labels; containers/image and older Cosign write and expect the first. */
const LABELS = ['ENCRYPTED COSIGN PRIVATE KEY', 'ENCRYPTED SIGSTORE PRIVATE KEY'];

interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** The costs that go-securesystemslib writes; any other is refused, since a file could ask for endless work. */
const COSTS: readonly ScryptCost[] = [
  { N: 65_536, r: 8, p: 1 },
  { N: 32_768, r: 8, p: 1 },
  { N: 131_072, r: 8, p: 1 },
];

/**
 * A fresh ECDSA P-256 pair, the private key encrypted: scrypt and NaCl secretbox in JSON in PEM, as Cosign's.
 * @param passphrase may be empty
 */
export async function generateSigstoreKey(
  passphrase: Uint8Array,
): Promise<{ readonly privateKey: string; readonly publicKey: string }> {
  const pair = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  return {
    privateKey: await encryptPrivateKey(pair.privateKey, passphrase),
    publicKey: formatSigstoreKey(pair.publicKey),
  };
}

export async function encryptPrivateKey(key: KeyObject, passphrase: Uint8Array): Promise<string> {
  const { xsalsa20poly1305 } = await import('@noble/ciphers/salsa.js');
  const cost = COSTS[0] as ScryptCost;
  const salt = randomBytes(32);
  const nonce = randomBytes(24);
  const secret = await deriveKey(passphrase, salt, cost);
  const plain = key.export({ type: 'pkcs8', format: 'der' });
  const json = JSON.stringify({
    kdf: { name: 'scrypt', params: cost, salt: salt.toString('base64') },
    cipher: { name: 'nacl/secretbox', nonce: nonce.toString('base64') },
    ciphertext: Buffer.from(xsalsa20poly1305(secret, nonce).encrypt(plain)).toString('base64'),
  });
  return formatPem(LABELS[0] as string, Buffer.from(json));
}

/**
 * Opens an encrypted sigstore key.
 * @throws SignError `bad-key`, `bad-passphrase`
 */
export async function decryptPrivateKey(
  pem: Uint8Array | string,
  passphrase: Uint8Array,
): Promise<KeyObject> {
  const block = readOnePem(pem, 'private key');
  if (!LABELS.includes(block.label)) throw new SignError('bad-key', `unsupported pem type: ${block.label}`);
  const { cost, salt, nonce, ciphertext } = parseEnvelope(block.der);
  const { xsalsa20poly1305 } = await import('@noble/ciphers/salsa.js');
  const secret = await deriveKey(passphrase, salt, cost);
  let plain: Uint8Array;
  try {
    plain = xsalsa20poly1305(secret, nonce).decrypt(ciphertext);
  } catch (cause) {
    throw new SignError('bad-passphrase', 'decrypt: encrypted: decryption failed', {
      cause,
      hint: 'the passphrase is wrong, or the key file is damaged',
    });
  }
  try {
    const key = createPrivateKey({ key: Buffer.from(plain), format: 'der', type: 'pkcs8' });
    checkStrength(createPublicKey(key));
    return key;
  } catch (cause) {
    if (cause instanceof SignError) throw cause;
    throw new SignError('bad-key', 'parsing private key: malformed PKCS #8', { cause });
  }
}

/** A signature as sigstore makes it: DER for ECDSA, PKCS #1 v1.5 for RSA, plain Ed25519. */
export function signBlob(key: KeyObject, data: Uint8Array, rule: HashRule = 'sha256'): Uint8Array {
  if (key.asymmetricKeyType === 'ed25519') return sign(null, data, key);
  if (key.asymmetricKeyType === 'rsa')
    return sign('sha256', data, { key, padding: constants.RSA_PKCS1_PADDING });
  return sign(hashFor(key, rule), data, { key, dsaEncoding: 'der' });
}

function parseEnvelope(json: Uint8Array) {
  try {
    const root = parseJsonObject(json, { what: 'encrypted private key', limitBytes: 1024 * 1024 });
    const kdf = named(root.kdf, 'kdf', 'scrypt');
    const cipher = named(root.cipher, 'cipher', 'nacl/secretbox');
    const params = kdf.params;
    const cost = isJsonObject(params)
      ? COSTS.find(({ N, r, p }) => params.N === N && params.r === r && params.p === p)
      : undefined;
    if (!cost) throw new SignError('bad-key', 'unsupported scrypt parameters');
    const nonce = decodeBase64(String(cipher.nonce));
    if (nonce.length !== 24) throw new SignError('bad-key', 'encrypted: incorrect nonce size');
    return {
      cost,
      nonce,
      salt: decodeBase64(String(kdf.salt)),
      ciphertext: decodeBase64(String(root.ciphertext)),
    };
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new SignError('bad-key', `decrypt: ${cause.message}`, { cause });
  }
}

function named(value: unknown, what: string, name: string): JsonObject {
  if (!isJsonObject(value) || value.name !== name)
    throw new SignError('bad-key', `encrypted: unknown ${what} name`);
  return value as JsonObject;
}

function deriveKey(passphrase: Uint8Array, salt: Uint8Array, cost: ScryptCost): Promise<Buffer> {
  const options = { ...cost, maxmem: 256 * 1024 * 1024 };
  return new Promise((resolve, reject) =>
    scrypt(passphrase, salt, 32, options, (error, key) => (error ? reject(error) : resolve(key))),
  );
}
