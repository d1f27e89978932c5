import { readFile, stat } from 'node:fs/promises';
import type { KeySource } from '../../config/policy-types.ts';
import { isSystemError } from '../../errors.ts';
import { SignError } from '../error.ts';

/** Key files beyond this are refused; distribution keyrings are below 100 KB. */
const KEY_FILE_LIMIT_BYTES = 32 * 1024 * 1024;

/**
 * The bytes of every key of a source. A file that cannot be read is an error, never a missing key.
 * @throws SignError `bad-key`
 */
export async function loadKeys(source: KeySource): Promise<readonly Uint8Array[]> {
  return 'data' in source ? source.data : Promise.all(source.paths.map(loadKeyFile));
}

async function loadKeyFile(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > KEY_FILE_LIMIT_BYTES)
      throw new SignError('bad-key', `key file ${path} exceeds the limit of ${KEY_FILE_LIMIT_BYTES} bytes`);
    return await readFile(path);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    const why = cause.code === 'ENOENT' ? 'no such file or directory' : cause.message;
    throw new SignError('bad-key', `open ${path}: ${why}`, { cause, facts: { path } });
  }
}
