import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';
import { printable, SignError } from '../error.ts';
import { keyFileFingerprint } from './sign-with-key-file.ts';

const LIMIT_FILES = 1000;
const LIMIT_FILE_BYTES = 4 * 1024 * 1024;

/** The data directory of Sequoia: below `SEQUOIA_HOME`, else the user's own. */
export function sequoiaData(environment: Readonly<Record<string, string | undefined>>): string {
  const { SEQUOIA_HOME, XDG_DATA_HOME, HOME = '/' } = environment;
  if (SEQUOIA_HOME) return join(SEQUOIA_HOME, 'data');
  return join(XDG_DATA_HOME || join(HOME, '.local/share'), 'sequoia');
}

/**
 * The secret key of a fingerprint among the soft keys of a Sequoia key store, which are `.pgp` and `.asc` files.
 * @throws SignError `no-such-key`
 */
export async function sequoiaSecretKey(data: string, fingerprint: string): Promise<Uint8Array> {
  const wanted = fingerprint.toUpperCase();
  const directory = join(data, 'keystore/softkeys');
  if (!/^(?:[0-9A-F]{40}|[0-9A-F]{64})$/.test(wanted))
    throw new SignError('bad-parameters', `${printable(fingerprint)} is not a fingerprint`);
  for (const name of await keyFiles(directory, wanted)) {
    const keyFile = await readKeyFile(join(directory, name));
    if (keyFile && (await fingerprintOf(keyFile)) === wanted) return keyFile;
  }
  throw new SignError('no-such-key', `no secret key ${wanted} in the Sequoia key store ${directory}`, {
    hint: 'SEQUOIA_HOME names another one; an exported key file can be given to --sign-by',
  });
}

/** The file that is named after the key comes first. */
async function keyFiles(directory: string, wanted: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(directory)).filter((name) => /\.(?:pgp|asc)$/.test(name)).sort();
    const isNamed = (name: string) => name.toUpperCase().startsWith(wanted);
    return [...names.filter(isNamed), ...names.filter((name) => !isNamed(name))].slice(0, LIMIT_FILES);
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

async function readKeyFile(path: string): Promise<Uint8Array | undefined> {
  const { size } = await stat(path);
  return size > LIMIT_FILE_BYTES ? undefined : await readFile(path);
}

/** Other files in the store are none of our business. */
async function fingerprintOf(keyFile: Uint8Array): Promise<string | undefined> {
  try {
    return await keyFileFingerprint(keyFile);
  } catch (error) {
    if (error instanceof SignError) return undefined;
    throw error;
  }
}
