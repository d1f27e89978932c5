import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, isSystemError } from '../../errors.ts';
import { SignError } from '../error.ts';
import { type Keyring, readKeyring } from './keyring.ts';

/**
 * The public keys of a GnuPG home, read without gpg: `pubring.kbx`, else the older `pubring.gpg`. Neither: no keys.
 * @throws SignError `bad-key`
 */
export async function readHomeKeyring(home: string): Promise<Keyring> {
  const keybox = keysIn(join(home, 'pubring.kbx'));
  const blobs = keybox ? keyboxCertificates(keybox) : [];
  const old = keysIn(join(home, 'pubring.gpg'));
  return readKeyring(old ? [...blobs, old] : blobs);
}

/** GNUPGHOME, else `.gnupg` in the home directory. */
export function gnupgHome(environment: Readonly<Record<string, string | undefined>>): string {
  return environment.GNUPGHOME || join(environment.HOME ?? '/', '.gnupg');
}

const OPENPGP_BLOB = 2;

/** The OpenPGP certificates of a keybox file: GnuPG kbx/keybox-blob.c. */
function keyboxCertificates(file: Uint8Array): Uint8Array[] {
  const view = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const certificates: Uint8Array[] = [];
  for (let at = 0; at < view.length; ) {
    const length = at + 16 <= view.length ? view.readUInt32BE(at) : 0;
    if (length < 16 || at + length > view.length) throw new SignError('bad-key', 'malformed keybox file');
    const blob = view.subarray(at, at + length);
    if (blob[4] === OPENPGP_BLOB) {
      const start = blob.readUInt32BE(8);
      const end = start + blob.readUInt32BE(12);
      if (end > length) throw new SignError('bad-key', 'malformed keybox file');
      certificates.push(blob.subarray(start, end));
    }
    at += length;
  }
  return certificates;
}

function keysIn(path: string): Uint8Array | undefined {
  try {
    return ifThere(() => readFileSync(path), 'ENOENT', 'ENOTDIR');
  } catch (cause) {
    if (isSystemError(cause)) throw new SignError('bad-key', `open ${path}: ${cause.message}`, { cause });
    throw cause;
  }
}
