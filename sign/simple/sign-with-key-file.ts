import { SignError } from '../error.ts';

/**
 * An inline signature made with an armored or binary secret key and the openpgp library; gpg is not needed.
 * @throws SignError `bad-key`, `bad-passphrase`, `signing`
 */
export async function signWithKeyFile(
  content: Uint8Array,
  keyFile: Uint8Array,
  passphrase: string | undefined,
): Promise<Uint8Array> {
  const openpgp = await import('openpgp');
  const privateKey = await unlock(openpgp, keyFile, passphrase);
  try {
    const message = await openpgp.createMessage({ binary: Uint8Array.from(content) });
    const signed = await openpgp.sign({
      message,
      signingKeys: privateKey,
      format: 'binary',
      config: { preferredHashAlgorithm: openpgp.enums.hash.sha256 },
    });
    return signed as Uint8Array;
  } catch (cause) {
    throw new SignError('signing', `cannot sign with this key: ${(cause as Error).message}`, { cause });
  }
}

/** The upper-case fingerprint of a secret key file. @throws SignError `bad-key` */
export async function keyFileFingerprint(keyFile: Uint8Array): Promise<string> {
  return (await readSecretKey(await import('openpgp'), keyFile)).getFingerprint().toUpperCase();
}

type OpenPgp = typeof import('openpgp');
type PrivateKey = import('openpgp').PrivateKey;

async function readSecretKey(openpgp: OpenPgp, keyFile: Uint8Array): Promise<PrivateKey> {
  const armored = ((keyFile[0] ?? 0) & 0x80) === 0;
  try {
    return await (armored
      ? openpgp.readPrivateKey({ armoredKey: Buffer.from(keyFile).toString('latin1') })
      : openpgp.readPrivateKey({ binaryKey: Uint8Array.from(keyFile) }));
  } catch (cause) {
    throw new SignError('bad-key', `not an OpenPGP secret key: ${(cause as Error).message}`, { cause });
  }
}

async function unlock(
  openpgp: OpenPgp,
  keyFile: Uint8Array,
  passphrase: string | undefined,
): Promise<PrivateKey> {
  const privateKey = await readSecretKey(openpgp, keyFile);
  if (privateKey.isDecrypted()) return privateKey;
  if (passphrase === undefined)
    throw new SignError('bad-passphrase', 'the secret key is encrypted and no passphrase was given');
  try {
    return await openpgp.decryptKey({ privateKey, passphrase });
  } catch (cause) {
    throw new SignError('bad-passphrase', 'bad passphrase for the secret key', { cause });
  }
}
