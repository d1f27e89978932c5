import { createHash, randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { isSystemError } from '../../errors.ts';
import type { BuildIdentity, BuildRecord } from './record.ts';

const LIMIT_FILES = 64;
const LIMIT_FILE_BYTES = 16 * 1024 * 1024;
const LIMIT_BYTES = 128 * 1024 * 1024;
const NAME = /^[0-9a-f]{24}-[0-9a-f]{24}\.json\.gz$/;

/**
 * Keeps the record in place of the one before with the same identity; those that were written the longest time ago go
 * where there are many. What cannot be kept (a full disk, a home that is read-only) is left out.
 */
export function keepRecord(directory: string, record: BuildRecord): void {
  const bytes = gzipSync(JSON.stringify(record), { level: 1 });
  if (bytes.length > LIMIT_FILE_BYTES) return;
  const path = join(directory, nameOf(record.identity));
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(temporary, bytes, { mode: 0o600, flag: 'wx' });
    renameSync(temporary, path);
    removeOldest(directory);
  } catch (error) {
    rmSync(temporary, { force: true });
    if (!isSystemError(error)) throw error;
  }
}

export function findRecord(directory: string, identity: BuildIdentity): BuildRecord | undefined {
  return readRecord(join(directory, nameOf(identity)));
}

/** The records of every build of a context, the newest first. */
export function recordsOf(directory: string, context: string): BuildRecord[] {
  return recordFiles(directory)
    .filter(({ name }) => name.startsWith(`${shortHash(context)}-`))
    .flatMap(({ name }) => readRecord(join(directory, name)) ?? [])
    .sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
}

function nameOf(identity: BuildIdentity): string {
  const { context, files, target, platform } = identity;
  return `${shortHash(context)}-${shortHash(JSON.stringify([files, target, platform]))}.json.gz`;
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24);
}

/** What is damaged, of another version or of somebody else counts as nothing. */
function readRecord(path: string): BuildRecord | undefined {
  try {
    const status = lstatSync(path);
    if (!status.isFile() || status.uid !== process.geteuid?.() || status.size > LIMIT_FILE_BYTES)
      return undefined;
    const bytes = gunzipSync(readFileSync(path), { maxOutputLength: LIMIT_BYTES });
    const record = JSON.parse(bytes.toString('utf8')) as BuildRecord;
    return record.version === 2 && Array.isArray(record.steps) ? record : undefined;
  } catch {
    return undefined;
  }
}

function recordFiles(directory: string): { readonly name: string; readonly writtenMs: number }[] {
  try {
    return readdirSync(directory)
      .filter((name) => NAME.test(name))
      .map((name) => ({
        name,
        writtenMs: lstatSync(join(directory, name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
      }));
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return [];
    throw error;
  }
}

function removeOldest(directory: string): void {
  const files = recordFiles(directory).sort((a, b) => a.writtenMs - b.writtenMs);
  for (const { name } of files.slice(0, Math.max(0, files.length - LIMIT_FILES)))
    rmSync(join(directory, name), { force: true });
}
