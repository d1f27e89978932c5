import { goJsonText } from '../../../image/go-json.ts';
import { GoDuration } from './go-duration.ts';

/** Values as Go's fmt prints them with %v: `[a b]`, `map[k:v]`, `{a b}`, `<nil>`. A Map is a Go map, an object a struct. */
export function formatValue(value: unknown, quoteStrings = false): string {
  if (value === null || value === undefined) return '<nil>';
  if (typeof value === 'string') return quoteStrings ? JSON.stringify(value) : value;
  if (value instanceof Date) return formatGoTime(value);
  if (Array.isArray(value)) return `[${value.map((item) => formatValue(item, quoteStrings)).join(' ')}]`;
  if (value instanceof Map) return formatMap([...value.entries()] as [unknown, unknown][], quoteStrings);
  if (typeof value === 'object') {
    const shown = (value as { toString(): string }).toString;
    if (shown !== Object.prototype.toString && Object.getPrototypeOf(value) !== null) return String(value);
    return `{${Object.values(value)
      .map((item) => formatValue(item, quoteStrings))
      .join(' ')}}`;
  }
  return String(value);
}

function formatMap(entries: [unknown, unknown][], quoteStrings: boolean): string {
  const sorted = entries
    .map(([key, item]) => [String(key), item] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${sorted.map(([key, item]) => `${formatValue(key, quoteStrings)}:${formatValue(item, quoteStrings)}`).join(' ')}]`;
}

/** time.Time's String: `2006-01-02 15:04:05.999 +0000 UTC`. */
export function formatGoTime(date: Date): string {
  const iso = date.toISOString();
  const fraction = iso.slice(19, 23).replace(/\.?0+$/, '');
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}${fraction} +0000 UTC`;
}

/** encoding/json's text with `<`, `>` and `&` as they are: what the `json` of templates gives. */
export function goJsonPlain(value: unknown): string {
  const characters: Readonly<Record<string, string>> = { '\\u003c': '<', '\\u003e': '>', '\\u0026': '&' };
  return goJsonText(value).replace(/\\(?:\\|u003c|u003e|u0026)/g, (code) => characters[code] ?? code);
}

/** A value for templates that JSON shows as another one. */
export function shownAs<T extends object>(json: unknown, view: T): T {
  return Object.defineProperty(view, 'toJSON', { value: () => json });
}

/** fmt.Sprintf for the verbs that templates use: %s %v %+v %#v %q %d %x %X %o %b %f %e %g %t %c %U %T %% with flags, width and precision. */
export function sprintf(format: string, args: readonly unknown[]): string {
  let next = 0;
  const text = format.replace(
    /%([-+# 0]*)(\*|\d+)?(?:\.(\d+))?([a-zA-Z%])/g,
    (_whole, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
      if (verb === '%') return '%';
      const wide = width === '*' ? Number(args[next++]) : Number(width ?? 0);
      if (next >= args.length) return `%!${verb}(MISSING)`;
      const body = formatVerb(
        verb,
        args[next++],
        precision === undefined ? undefined : Number(precision),
        flags,
      );
      if (flags.includes('-')) return body.padEnd(wide);
      return flags.includes('0') ? body.padStart(wide, '0') : body.padStart(wide);
    },
  );
  const extra = args.slice(next).map((value) => `${goType(value)}=${formatValue(value)}`);
  return extra.length ? `${text}%!(EXTRA ${extra.join(', ')})` : text;
}

function formatVerb(verb: string, value: unknown, precision: number | undefined, flags: string): string {
  const number = Number(value);
  const sign = flags.includes('+') && number >= 0 ? '+' : '';
  switch (verb) {
    case 's':
    case 'v': {
      const text = formatValue(value);
      return precision === undefined ? text : [...text].slice(0, precision).join('');
    }
    case 'q':
      return formatValue(value, true);
    case 'd':
      return typeof value === 'number' || value instanceof GoDuration
        ? `${sign}${Math.trunc(number)}`
        : `%!d(${goType(value)}=${formatValue(value)})`;
    case 'x':
    case 'X': {
      const hex = typeof value === 'string' ? Buffer.from(value).toString('hex') : number.toString(16);
      return verb === 'x' ? hex : hex.toUpperCase();
    }
    case 'o':
      return number.toString(8);
    case 'b':
      return number.toString(2);
    case 'f':
      return sign + number.toFixed(precision ?? 6);
    case 'e':
      return sign + number.toExponential(precision ?? 6).replace(/e([+-])(\d)$/, 'e$10$2');
    case 'g':
      return (
        sign + (precision === undefined ? String(number) : String(Number(number.toPrecision(precision))))
      );
    case 't':
      return String(value);
    case 'c':
      return String.fromCodePoint(number);
    case 'U':
      return `U+${number.toString(16).toUpperCase().padStart(4, '0')}`;
    case 'T':
      return goType(value);
    default:
      return `%!${verb}(${goType(value)}=${formatValue(value)})`;
  }
}

function goType(value: unknown): string {
  if (typeof value === 'string') return 'string';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64';
  if (typeof value === 'boolean') return 'bool';
  if (value === null || value === undefined) return '<nil>';
  if (Array.isArray(value)) return '[]interface {}';
  if (value instanceof GoDuration) return 'time.Duration';
  return value instanceof Map ? 'map[string]interface {}' : 'struct';
}
