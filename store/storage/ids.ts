import { StoreError } from '../error.ts';
import { randomBytes } from '../kernel/random.ts';

const ID = /^[0-9a-f]{64}$/;

export function isId(text: string): boolean {
  return ID.test(text);
}

/** @throws StoreError `unsafe-path`: an id becomes a directory name */
export function checkId(text: string): string {
  if (!ID.test(text)) throw new StoreError('unsafe-path', `invalid id ${JSON.stringify(text.slice(0, 100))}`);
  return text;
}

/** 64 random hexadecimal digits whose first twelve are no decimal number, since short ids become host names. */
export function randomId(): string {
  for (;;) {
    const id = randomBytes(32).toString('hex');
    if (!/^[0-9]+$/.test(id.slice(0, 12))) return id;
  }
}

/**
 * The one id that starts with `prefix`, as pkg/truncindex.
 * @throws StoreError `ambiguous-id`
 */
export function findByPrefix<T extends { readonly id: string }>(
  records: Iterable<T>,
  prefix: string,
): T | undefined {
  if (!/^[0-9a-f]{1,64}$/.test(prefix)) return undefined;
  let found: T | undefined;
  for (const record of records) {
    if (!record.id.startsWith(prefix)) continue;
    if (found !== undefined)
      throw new StoreError('ambiguous-id', `multiple IDs found with provided prefix: ${prefix}`, {
        hint: 'give more digits of the id',
      });
    found = record;
  }
  return found;
}

/** The file name of a big data key: itself where it has only digits, lower-case letters and dots, else base64. */
export function bigDataFileName(key: string): string {
  if (key === '') throw new StoreError('bad-config', 'big data needs a key');
  if (/^\.+$/.test(key)) throw new StoreError('unsafe-path', `invalid big data key ${JSON.stringify(key)}`);
  return /^[.0-9a-z]*$/.test(key) ? key : `=${Buffer.from(key).toString('base64')}`;
}

/** Each name once, first occurrence first. */
export function withoutDuplicates<T>(names: Iterable<T>): T[] {
  return [...new Set(names)];
}

/** RFC 3339 with nanoseconds in UTC, without trailing zeros, as Go marshals times. */
export function timestamp(now: Date): string {
  return now.toISOString().replace(/\.?0*Z$/, 'Z');
}

const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/**
 * A time of a config in the form every tool reads: one malformed time would make the whole database unreadable to
 * Podman. Undefined for anything that is no RFC 3339 time of the years 1 to 9999.
 */
export function normalizedTimestamp(text: string | undefined): string | undefined {
  const match = text === undefined ? null : RFC3339.exec(text);
  if (!match) return undefined;
  const milliseconds = Date.parse(text!);
  if (Number.isNaN(milliseconds)) return undefined;
  const utc = new Date(milliseconds).toISOString();
  if (!/^\d{4}-/.test(utc) || utc.startsWith('0000')) return undefined;
  return `${utc.slice(0, 19)}${(match[2] ?? '').replace(/\.?0+$/, '')}Z`;
}
