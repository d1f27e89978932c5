import { goTimeText, withoutTrailingZeros } from '../../../image/go-time.ts';

const MONTHS = 'January February March April May June July August September October November December'.split(
  ' ',
);
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** The parts of a layout of time.Format, longer ones first where one begins another. */
const LAYOUT =
  /January|Jan|Monday|Mon|MST|2006|Z07:00|Z0700|-07:00|-0700|-07|[.,](?:0+|9+)(?!\d)|01|02|03|04|05|06|002|_2|PM|pm|15|1|2|3|4|5/g;

/**
 * An RFC 3339 time as Go's time.Time shows it: in JSON without trailing zeros, in templates as its String method and
 * with the methods that templates call.
 */
export class GoTime {
  readonly #text: string;

  constructor(text: string) {
    this.#text = withoutTrailingZeros(text);
  }

  toJSON(): string {
    return this.#text;
  }

  toString(): string {
    return goTimeText(this.#text);
  }

  /** The result of the method that a template calls; undefined where time.Time has none of that name here. */
  method(name: string, args: readonly unknown[]): unknown {
    const at = new Date(this.#text);
    const local = new Date(at.getTime() + offsetMinutes(this.#zone()) * 60_000);
    switch (name) {
      case 'String':
        return this.toString();
      case 'Format':
        return this.#format(local, String(args[0] ?? ''));
      case 'UTC':
        return new GoTime(this.#zone() === 'Z' ? this.#text : at.toISOString());
      case 'Unix':
        return Math.floor(at.getTime() / 1000);
      case 'UnixMilli':
        return at.getTime();
      case 'Year':
        return local.getUTCFullYear();
      case 'Month':
        return MONTHS[local.getUTCMonth()];
      case 'Day':
        return local.getUTCDate();
      case 'Weekday':
        return DAYS[local.getUTCDay()];
      case 'Hour':
        return local.getUTCHours();
      case 'Minute':
        return local.getUTCMinutes();
      case 'Second':
        return local.getUTCSeconds();
      case 'IsZero':
        return this.#text === '0001-01-01T00:00:00Z';
      default:
        return undefined;
    }
  }

  #zone(): string {
    return /(?:Z|[+-]\d\d:\d\d)$/.exec(this.#text)?.[0] ?? 'Z';
  }

  #format(local: Date, layout: string): string {
    const fraction = /\.(\d+)/.exec(this.#text)?.[1] ?? '';
    return layout.replace(LAYOUT, (part) => formatPart(part, local, this.#zone(), fraction));
  }
}

function offsetMinutes(zone: string): number {
  const [, sign, hours, minutes] = /^([+-])(\d\d):(\d\d)$/.exec(zone) ?? [];
  return (sign === '-' ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0));
}

function formatPart(part: string, local: Date, zone: string, fraction: string): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const twelve = local.getUTCHours() % 12 || 12;
  const offset = zone === 'Z' ? '+00:00' : zone;
  const month = MONTHS[local.getUTCMonth()] as string;
  const day = DAYS[local.getUTCDay()] as string;
  const dayOfYear = (local.getTime() - Date.UTC(local.getUTCFullYear(), 0, 0)) / 86_400_000;
  if (/^[.,]0/.test(part)) return part[0] + fraction.padEnd(part.length - 1, '0').slice(0, part.length - 1);
  if (/^[.,]9/.test(part)) {
    const digits = fraction.slice(0, part.length - 1).replace(/0+$/, '');
    return digits && part[0] + digits;
  }
  const parts: Readonly<Record<string, string>> = {
    January: month,
    Jan: month.slice(0, 3),
    '01': two(local.getUTCMonth() + 1),
    '1': String(local.getUTCMonth() + 1),
    Monday: day,
    Mon: day.slice(0, 3),
    '02': two(local.getUTCDate()),
    _2: String(local.getUTCDate()).padStart(2),
    '2': String(local.getUTCDate()),
    '002': String(Math.floor(dayOfYear)).padStart(3, '0'),
    '15': two(local.getUTCHours()),
    '03': two(twelve),
    '3': String(twelve),
    '04': two(local.getUTCMinutes()),
    '4': String(local.getUTCMinutes()),
    '05': two(local.getUTCSeconds()),
    '5': String(local.getUTCSeconds()),
    '2006': String(local.getUTCFullYear()).padStart(4, '0'),
    '06': two(local.getUTCFullYear() % 100),
    PM: local.getUTCHours() < 12 ? 'AM' : 'PM',
    pm: local.getUTCHours() < 12 ? 'am' : 'pm',
    MST: zone === 'Z' ? 'UTC' : zone.replace(':', ''),
    'Z07:00': zone,
    Z0700: zone.replace(':', ''),
    '-07:00': offset,
    '-0700': offset.replace(':', ''),
    '-07': offset.slice(0, 3),
  };
  return parts[part] as string;
}
