import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream';
import type { Key, PrivateKey } from 'openpgp';
import type { Annotations, Descriptor } from '../../image/descriptor.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import type { LayerDecryptor, LayerEncryptor } from '../copy-options.ts';
import { TransportError } from '../error.ts';
import { LayerDecryption, LayerEncryption, readMac, readSecretOptions, secretOptions } from './cipher.ts';
import { readPublicKey, unwrapJwe, wrapJwe } from './jwe.ts';
import { findPgpKeys, readPgpKeys, unwrapPgp, wrapPgp } from './pgp.ts';
import { readCertificate, unwrapPkcs7, wrapPkcs7 } from './pkcs7.ts';

const PREFIX = 'org.opencontainers.image.enc.';
const PUBLIC_OPTIONS = `${PREFIX}pubopts`;

/** Where key files and GnuPG are looked for. */
export interface KeySurroundings {
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Encrypts layers for recipients, as ocicrypt: `jwe:FILE` (public key), `pkcs7:FILE` (certificate), `pgp:ADDRESS`.
 * @throws TransportError `bad-option` for a protocol that is not known or a key that cannot be used
 */
export async function openEncryptor(
  recipients: readonly string[],
  surroundings: KeySurroundings,
): Promise<LayerEncryptor> {
  const jwe: KeyObject[] = [];
  const pkcs7: X509Certificate[] = [];
  const pgp: Key[] = [];
  for (const recipient of recipients) {
    const colon = recipient.indexOf(':');
    if (colon < 0) throw new TransportError('bad-option', `Invalid recipient format: ${recipient}`);
    const [protocol, value] = [recipient.slice(0, colon), recipient.slice(colon + 1)];
    if (protocol === 'jwe') jwe.push(readPublicKey(await read(value, surroundings), value));
    else if (protocol === 'pkcs7') pkcs7.push(readCertificate(await read(value, surroundings), value));
    else if (protocol === 'pgp') pgp.push(...(await findPgpKeys(value, surroundings.environment)));
    else
      throw new TransportError('bad-option', `Provided protocol not recognized: ${protocol}`, {
        hint: 'jwe, pkcs7 and pgp are known',
      });
  }
  const wrap = async (secret: Uint8Array): Promise<Annotations> => ({
    ...(jwe.length ? { [`${PREFIX}keys.jwe`]: (await wrapJwe(secret, jwe)).map(base64).join(',') } : {}),
    ...(pkcs7.length ? { [`${PREFIX}keys.pkcs7`]: base64(wrapPkcs7(secret, pkcs7)) } : {}),
    ...(pgp.length ? { [`${PREFIX}keys.pgp`]: base64(await wrapPgp(secret, pgp)) } : {}),
  });
  return { encrypt: (plain, layer) => encrypt(plain, layer, wrap) };
}

async function encrypt(
  plain: BlobStream,
  layer: Descriptor,
  wrap: (secret: Uint8Array) => Promise<Annotations>,
): Promise<{ readonly blob: BlobStream; readonly annotations: () => Annotations }> {
  const encryption = new LayerEncryption();
  const keys = await wrap(secretOptions(encryption.secrets, layer.digest));
  const stream = pipeline(plain.stream, encryption, () => {});
  return {
    blob: { stream },
    annotations: () => ({ ...keys, [PUBLIC_OPTIONS]: base64(encryption.publicOptions()) }),
  };
}

/** Keys that open layers. */
interface OpenKeys {
  readonly privateKeys: readonly KeyObject[];
  readonly certificates: readonly X509Certificate[];
  readonly pgp: readonly PrivateKey[];
}

/**
 * Decrypts layers with `FILE[:PASSWORD]`, where the password may be `pass=…`, `file=…` or `fd=…`: private keys,
 * certificates for pkcs7, OpenPGP private keys.
 * @throws TransportError `bad-option` for a file that is no key, or a wrong password
 */
export async function openDecryptor(
  keys: readonly string[],
  surroundings: KeySurroundings,
): Promise<LayerDecryptor> {
  const privateKeys: KeyObject[] = [];
  const certificates: X509Certificate[] = [];
  const pgp: PrivateKey[] = [];
  for (const spec of keys) {
    const colon = spec.indexOf(':');
    const name = colon < 0 ? spec : spec.slice(0, colon);
    const password = colon < 0 ? undefined : await readPassword(spec.slice(colon + 1), surroundings);
    const bytes = await read(name, surroundings);
    if (bytes.includes('-----BEGIN CERTIFICATE')) certificates.push(readCertificate(bytes, name));
    else await readPrivateKey(bytes, name, password, privateKeys, pgp);
  }
  const open: OpenKeys = { privateKeys, certificates, pgp };
  return { decrypt: (encrypted, layer) => decrypt(encrypted, layer, open) };
}

async function readPrivateKey(
  bytes: Buffer,
  name: string,
  password: string | undefined,
  privateKeys: KeyObject[],
  pgp: PrivateKey[],
): Promise<void> {
  if (!bytes.includes('-----BEGIN PGP')) {
    const key = tryPrivateKey(bytes, password);
    if (key) {
      privateKeys.push(key);
      return;
    }
  }
  const found = await readPgpKeys(bytes, password, name);
  if (!found)
    throw new TransportError(
      'bad-option',
      `${name} is not a private key or certificate, or its password is wrong`,
    );
  pgp.push(...found);
}

function tryPrivateKey(bytes: Buffer, passphrase: string | undefined): KeyObject | undefined {
  const secret = passphrase === undefined ? {} : { passphrase };
  const attempts = [
    () => createPrivateKey({ key: bytes, format: 'pem', ...secret }),
    () => createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8', ...secret }),
    () => createPrivateKey({ key: JSON.parse(bytes.toString()), format: 'jwk' }),
  ];
  for (const attempt of attempts) {
    try {
      return attempt();
    } catch {
      // The next form may fit.
    }
  }
  return undefined;
}

async function readPassword(text: string, surroundings: KeySurroundings): Promise<string> {
  if (text.startsWith('pass=')) return text.slice(5);
  if (text.startsWith('file=')) return (await read(text.slice(5), surroundings)).toString();
  if (/^fd=\d+$/.test(text)) return (await readFile(`/dev/fd/${text.slice(3)}`)).toString();
  return text;
}

async function decrypt(encrypted: BlobStream, layer: Descriptor, keys: OpenKeys): Promise<BlobStream> {
  const annotations = layer.annotations ?? {};
  const secret = await unwrap(annotations, keys);
  if (!secret)
    throw new TransportError(
      'unsupported',
      `decrypting layer ${layer.digest}: no suitable key unwrapper found or none of the private keys could be used for decryption: no suitable key found for decrypting layer key${schemesOf(annotations)}`,
      { hint: 'give the private key of a recipient with --decryption-key; pkcs7 needs the certificate too' },
    );
  const mac = readMac(Buffer.from(annotations[PUBLIC_OPTIONS] ?? '', 'base64'));
  const decryption = new LayerDecryption(readSecretOptions(secret), mac);
  return { stream: pipeline(encrypted.stream, decryption, () => {}) };
}

/** What each kind of wrapped key says, in the words that scripts look for. */
function schemesOf(annotations: Annotations): string {
  return ['jwe', 'pkcs7', 'pgp']
    .filter((scheme) => annotations[`${PREFIX}keys.${scheme}`])
    .map((scheme) => ` - ${scheme.toUpperCase()}: No suitable private key found for decryption`)
    .join('');
}

async function unwrap(annotations: Annotations, keys: OpenKeys): Promise<Uint8Array | undefined> {
  for (const [scheme, open] of [
    ['jwe', (bytes: Buffer) => unwrapJwe(bytes, keys.privateKeys)],
    ['pkcs7', async (bytes: Buffer) => unwrapPkcs7(bytes, keys.privateKeys, keys.certificates)],
    ['pgp', (bytes: Buffer) => unwrapPgp(bytes, keys.pgp)],
  ] as const) {
    const wrapped = annotations[`${PREFIX}keys.${scheme}`];
    for (const part of wrapped ? wrapped.split(',') : []) {
      const secret = await open(Buffer.from(part, 'base64'));
      if (secret) return secret;
    }
  }
  return undefined;
}

function read(path: string, { workingDirectory }: KeySurroundings): Promise<Buffer> {
  return readFile(resolve(workingDirectory, path));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
