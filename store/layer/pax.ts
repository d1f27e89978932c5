import { StoreError } from '../error.ts';

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

function bad(): StoreError {
  return new StoreError('bad-layer', 'a malformed PAX header in the archive');
}
