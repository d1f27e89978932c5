import { StoreError } from '../error.ts';
import type { TarEntry } from './tar-entry.ts';

/**
 * The records of a PAX header, POSIX.1-2017 pax: `length key=value\n`. The last of several equal keys counts.
 * @throws StoreError `bad-layer`
 */
export function parsePaxRecords(body: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  const text = body.toString('latin1');
  for (let at = 0; at < text.length; ) {
    const space = text.indexOf(' ', at);
    const digits = space < 0 ? '' : text.slice(at, space);
    if (!/^[1-9]\d{0,8}$/.test(digits)) throw bad();
    const end = at + Number(digits);
    const equals = text.indexOf('=', space);
    if (end > text.length || text[end - 1] !== '\n' || equals < 0 || equals >= end) throw bad();
    const key = text.slice(space + 1, equals);
    const value = text.slice(equals + 1, end - 1);
    const isText = key === 'path' || key === 'linkpath' || key === 'uname' || key === 'gname';
    if (key === '' || key.includes('\0') || (isText && value.includes('\0'))) throw bad();
    records.set(key, value);
    at = end;
  }
  return records;
}

/** A PAX time, decimal seconds of any precision, in nanoseconds (cut, not rounded). */
export function paxTimeToNs(value: string): bigint {
  const match = /^(-?)(\d{1,12})(?:\.(\d*))?$/.exec(value);
  if (!match)
    throw new StoreError('bad-layer', `bad time ${JSON.stringify(value.slice(0, 50))} in a PAX header`);
  const ns = BigInt(match[2]!) * 1_000_000_000n + BigInt((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  return match[1] ? -ns : ns;
}

/** Puts records in the place of what the header says. @throws StoreError `bad-layer` */
export function applyPaxRecords(entry: TarEntry, records: Map<string, string>): void {
  for (const [key, value] of records) {
    // An empty value of a header field means: as if the record were not there (POSIX pax, and Go).
    if (value === '' && !key.includes('.')) continue;
    if (key === 'path') entry.name = value;
    else if (key === 'linkpath') entry.linkName = value;
    else if (key === 'uname') entry.userName = value;
    else if (key === 'gname') entry.groupName = value;
    else if (key === 'uid') entry.uid = wholeNumber(key, value);
    else if (key === 'gid') entry.gid = wholeNumber(key, value);
    else if (key === 'size') entry.sizeBytes = wholeNumber(key, value);
    else if (key === 'mtime') entry.modifiedNs = paxTimeToNs(value);
    else if (key === 'atime') entry.accessedNs = paxTimeToNs(value);
    else if (key === 'ctime') entry.changedNs = paxTimeToNs(value);
    else entry.pax.set(key, value);
  }
}

function wholeNumber(key: string, value: string): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number))
    throw new StoreError(
      'bad-layer',
      `the ${key} ${JSON.stringify(value.slice(0, 200))} of an entry is not a number in range`,
    );
  return number;
}

function bad(): StoreError {
  return new StoreError('bad-layer', 'a malformed PAX header in the archive');
}
