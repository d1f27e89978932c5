import { createHash, randomBytes } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '../../errors.ts';

// Files that builds leave for later ones. None is needed: what cannot be kept or read is made again.

const CHECKSUM_BYTES = 32;
const LIMIT_FILES = 64;

/** Replaces a file whole. Builds at once write one after the other, and the last one stays. */
export function keepFile(path: string, magic: string, body: Uint8Array): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const checksum = createHash('sha256').update(body).digest();
    writeFileSync(temporary, Buffer.concat([Buffer.from(magic, 'latin1'), checksum, body]), {
      mode: 0o600,
      flag: 'wx',
    });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    // A full disk or a read-only home is no reason for a build to fail.
    if (!isSystemError(error)) throw error;
  }
}

/** What {@link keepFile} was given; what cannot be read, or is not whole, counts as nothing. */
export function readKept(path: string, magic: string, limitBytes: number): Buffer | undefined {
  const start = magic.length + CHECKSUM_BYTES;
  const bytes = readOwn(path, start + limitBytes);
  if (!bytes || bytes.length < start || bytes.toString('latin1', 0, magic.length) !== magic) return undefined;
  const body = bytes.subarray(start);
  const checksum = createHash('sha256').update(body).digest();
  if (!bytes.subarray(magic.length, start).equals(checksum)) return undefined;
  // For the limit of files: the ones that were not used for the longest time go.
  const now = new Date();
  utimesSync(path, now, now);
  return body;
}

function readOwn(path: string, limitBytes: number): Buffer | undefined {
  try {
    const status = lstatSync(path);
    if (!status.isFile() || status.uid !== process.geteuid?.()) return undefined;
    if (status.size > limitBytes) return undefined;
    return readFileSync(path);
  } catch (error) {
    if (isSystemError(error)) return undefined;
    throw error;
  }
}

/** False for a directory that others could write to: who can make digests up can make steps up. */
export function openMemory(directory: string): boolean {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const status = lstatSync(directory);
    if (!status.isDirectory() || status.uid !== process.geteuid?.() || (status.mode & 0o022) !== 0)
      return false;
    const names = readdirSync(directory);
    if (names.length > LIMIT_FILES) removeOldest(directory, names);
    return true;
  } catch (error) {
    if (isSystemError(error)) return false;
    throw error;
  }
}

function removeOldest(directory: string, names: readonly string[]): void {
  const aged = names
    .map((name) => join(directory, name))
    .map((path) => ({ path, at: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => a.at - b.at);
  for (const { path } of aged.slice(0, names.length - LIMIT_FILES / 2)) rmSync(path, { force: true });
}
