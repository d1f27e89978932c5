import { formatValue, goJsonPlain, sprintf } from './format.ts';
import { bad } from './parse.ts';

export type TemplateFunction = (...args: unknown[]) => unknown;

/** Go's idea of an empty value. */
export function isTruthy(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === 0 || value === '') return false;
  if (Array.isArray(value)) return value.length > 0;
  return value instanceof Map ? value.size > 0 : true;
}

function compare(a: unknown, b: unknown): number {
  if (typeof a !== typeof b) throw bad('incompatible types for comparison');
  return (a as number) < (b as number) ? -1 : (a as number) > (b as number) ? 1 : 0;
}

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  throw bad('error calling len: the value has no length');
}

function index(value: unknown, ...keys: unknown[]): unknown {
  return keys.reduce((current: unknown, key) => {
    if (Array.isArray(current)) {
      if (typeof key !== 'number' || key < 0 || key >= current.length)
        throw bad(`error calling index: index out of range: ${formatValue(key)}`);
      return current[key] as unknown;
    }
    if (current instanceof Map) return current.get(key) ?? '';
    if (typeof current === 'object' && current !== null)
      return Object.hasOwn(current, String(key)) ? (current as Record<string, unknown>)[String(key)] : '';
    if (typeof current === 'string' && typeof key === 'number') return Buffer.from(current)[key];
    throw bad("error calling index: can't index this item");
  }, value);
}

function slice(value: unknown, from = 0, to?: unknown): unknown {
  if (typeof value !== 'string' && !Array.isArray(value))
    throw bad("error calling slice: can't slice this item");
  const end = to === undefined ? lengthOf(value) : Number(to);
  if (Number(from) < 0 || end > lengthOf(value) || Number(from) > end)
    throw bad('error calling slice: index out of range');
  return typeof value === 'string'
    ? Buffer.from(value).subarray(Number(from), end).toString()
    : value.slice(Number(from), end);
}

/** text/template's own functions. */
export const BUILT_IN: Readonly<Record<string, TemplateFunction>> = {
  and: (...args) => args.find((arg) => !isTruthy(arg)) ?? args.at(-1),
  or: (...args) => args.find(isTruthy) ?? args.at(-1),
  not: (value) => !isTruthy(value),
  eq: (first, ...others) => others.some((other) => first === other),
  ne: (a, b) => a !== b,
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  len: lengthOf,
  index,
  slice: (value, from, to) => slice(value, Number(from ?? 0), to),
  print: (...args) =>
    args.reduce<string>(
      (text, arg, at) =>
        text +
        (at > 0 && typeof arg !== 'string' && typeof args[at - 1] !== 'string' ? ' ' : '') +
        formatValue(arg),
      '',
    ),
  printf: (format, ...args) => sprintf(String(format), args),
  println: (...args) => `${args.map((arg) => formatValue(arg)).join(' ')}\n`,
  html: (...args) =>
    args
      .map((arg) => formatValue(arg))
      .join('')
      .replace(/[<>&'"]/g, (char) => `&#${char.charCodeAt(0)};`),
  js: (...args) => JSON.stringify(args.map((arg) => formatValue(arg)).join('')).slice(1, -1),
  urlquery: (...args) => encodeURIComponent(args.map((arg) => formatValue(arg)).join('')),
};

/** The built-in ones and those that the originals add. */
export const FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  ...BUILT_IN,
  json: (value) => goJsonPlain(value),
  join: (list, separator) =>
    (Array.isArray(list) ? list : []).map((item) => formatValue(item)).join(String(separator)),
  split: (text, separator) => String(text).split(String(separator)),
  lower: (text) => String(text).toLowerCase(),
  upper: (text) => String(text).toUpperCase(),
  title: (text) => String(text).replace(/\b\w/g, (letter) => letter.toUpperCase()),
  pad: (text, before, after) =>
    text === '' ? '' : `${' '.repeat(Number(before))}${String(text)}${' '.repeat(Number(after))}`,
  truncate: (text, length) => String(text).slice(0, Number(length)),
};
