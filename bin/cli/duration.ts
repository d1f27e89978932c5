import { byteSize } from '../../image/byte-size.ts';
import { UsageError } from './error.ts';

const UNIT_MS: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Go's time.ParseDuration in milliseconds: `1h30m`, `300ms`, `-1.5s`, `0`. @throws UsageError `bad-flag` */
export function parseDuration(text: string): number {
  const sign = text.startsWith('-') ? -1 : 1;
  const body = text.replace(/^[+-]/, '');
  if (body === '0') return 0;
  const parts = [...body.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== body) {
    const why = /^[\d.]+$/.test(body) ? 'missing unit in duration' : 'invalid duration';
    throw new UsageError('bad-flag', `time: ${why} ${JSON.stringify(text)}`);
  }
  return (
    sign * parts.reduce((sum, part) => sum + Number(part[1]) * (UNIT_MS[part[2] as string] as number), 0)
  );
}

/** Go's Duration.String for milliseconds: `1h30m0s`, `1.5s`, `300ms`, `0s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0s';
  const sign = milliseconds < 0 ? '-' : '';
  const ms = Math.abs(milliseconds);
  if (ms < 1e-3) return `${sign}${Math.round(ms * 1e6)}ns`;
  if (ms < 1) return `${sign}${trimNumber(ms * 1e3)}µs`;
  if (ms < 1000) return `${sign}${trimNumber(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = trimNumber((ms % 60_000) / 1000);
  return `${sign}${hours ? `${hours}h` : ''}${hours || minutes ? `${minutes}m` : ''}${seconds}s`;
}

function trimNumber(value: number): string {
  return String(Number(value.toFixed(9)));
}

/** A size with a unit, see {@link byteSize}. @throws UsageError `bad-flag` */
export function parseByteSize(text: string): number {
  const bytes = byteSize(text);
  if (bytes === undefined) throw new UsageError('bad-flag', `invalid size: '${text}'`);
  return bytes;
}

/** docker/go-units HumanSize: decimal units, three or four significant digits: `1.23 MB`, `5.2 kB`, `7 B`. */
export function formatByteSize(bytes: number, digits = 3): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${Number(size.toPrecision(digits)).toString()} ${units[unit]}`;
}
