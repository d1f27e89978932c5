import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Key, PrivateKey } from 'openpgp';
import { isSystemError } from '../../errors.ts';
import { TransportError } from '../error.ts';

/** The public keys of an address in GnuPG's key ring. @throws TransportError `bad-option` without gpg or such a key */
export async function findPgpKeys(
  address: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<readonly Key[]> {
  const { readKeys } = await import('openpgp');
  let exported: Buffer;
  try {
    const { stdout } = await promisify(execFile)('gpg', ['--batch', '--export', '--', address], {
      encoding: 'buffer',
      maxBuffer: 16 * 1024 * 1024,
      env: { ...environment } as NodeJS.ProcessEnv,
    });
    exported = stdout;
  } catch (cause) {
    if (!isSystemError(cause, 'ENOENT')) throw cause;
    throw new TransportError('bad-option', 'encrypting to pgp: keys needs gpg, which is not installed', {
      cause,
    });
  }
  if (exported.length === 0)
    throw new TransportError('bad-option', `gpg has no public key for ${JSON.stringify(address)}`);
  return readKeys({ binaryKeys: exported });
}

/** Private keys, armored or binary, unlocked; undefined where the bytes are none. @throws TransportError `bad-option` */
export async function readPgpKeys(
  bytes: Buffer,
  passphrase: string | undefined,
  name: string,
): Promise<readonly PrivateKey[] | undefined> {
  const { decryptKey, readPrivateKeys } = await import('openpgp');
  let keys: readonly PrivateKey[];
  try {
    keys = bytes.includes('-----BEGIN PGP PRIVATE KEY')
      ? await readPrivateKeys({ armoredKeys: bytes.toString() })
      : await readPrivateKeys({ binaryKeys: bytes });
  } catch {
    return undefined;
  }
  try {
    return await Promise.all(
      keys.map((key) =>
        key.isDecrypted() ? key : decryptKey({ privateKey: key, passphrase: passphrase ?? '' }),
      ),
    );
  } catch (cause) {
    throw new TransportError('bad-option', `${name}: the passphrase of the private key is wrong or missing`, {
      cause,
      hint: 'give it behind the file name: key.asc:pass=…, or :file=…',
    });
  }
}

/** An OpenPGP message for all keys. */
export async function wrapPgp(secret: Uint8Array, keys: readonly Key[]): Promise<Uint8Array> {
  const { createMessage, encrypt } = await import('openpgp');
  const message = await createMessage({ binary: secret });
  return encrypt({
    message,
    encryptionKeys: [...keys],
    format: 'binary',
    config: { aeadProtect: false },
  }) as Promise<Uint8Array>;
}

/** The secret, or undefined where none of the keys fits. */
export async function unwrapPgp(
  wrapped: Uint8Array,
  keys: readonly PrivateKey[],
): Promise<Uint8Array | undefined> {
  if (keys.length === 0) return undefined;
  const { decrypt, readMessage } = await import('openpgp');
  const message = await readMessage({ binaryMessage: wrapped });
  try {
    const { data } = await decrypt({ message, decryptionKeys: [...keys], format: 'binary' });
    return data as Uint8Array;
  } catch {
    // The message is for somebody else.
    return undefined;
  }
}
