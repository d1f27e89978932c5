import type { LayerEntry } from './tar-entries.ts';

/** One thing in which two images are not the same. */
export interface Difference {
  /** Position of the layer, from 1; absent for what is not in a layer. */
  readonly layer?: number;
  /** The history entry of the layer. */
  readonly createdBy?: string;
  /** Absolute in the image. */
  readonly path?: string;
  /** `mtime`, `mode`, `owner`, `content`, `order`, …, or the name of a field of the config or manifest. */
  readonly field: string;
  readonly first: string;
  readonly second: string;
}

/** The differences between two layers, in the order of their entries. */
export function* compareEntries(
  first: readonly LayerEntry[],
  second: readonly LayerEntry[],
): Generator<Difference> {
  const others = new Map(second.map((entry) => [entry.path, entry]));
  let found = false;
  for (const entry of first) {
    const other = others.get(entry.path);
    others.delete(entry.path);
    for (const difference of other ? compareEntry(entry, other) : [only(entry, 'first')]) {
      found = true;
      yield difference;
    }
  }
  for (const entry of others.values()) {
    found = true;
    yield only(entry, 'second');
  }
  if (!found) yield* orderOf(first, second);
}

function only({ path, type }: LayerEntry, side: 'first' | 'second'): Difference {
  return side === 'first'
    ? { path, field: 'existence', first: type, second: 'not there' }
    : { path, field: 'existence', first: 'not there', second: type };
}

function* compareEntry(first: LayerEntry, second: LayerEntry): Generator<Difference> {
  const { path } = first;
  for (const [field, show] of FIELDS) {
    const [a, b] = [show(first), show(second)];
    if (a !== b) yield { path, field, first: a, second: b };
  }
}

const FIELDS: readonly (readonly [string, (entry: LayerEntry) => string])[] = [
  ['type', ({ type }) => type],
  ['mode', ({ mode }) => mode.toString(8).padStart(4, '0')],
  ['owner', ({ owner }) => owner],
  ['link target', ({ target }) => target],
  ['device number', ({ device }) => device],
  ['extended attributes', ({ more }) => more.replaceAll('\0', ', ')],
  ['content', ({ digest, sizeBytes }) => (digest ? `${sizeBytes} bytes, sha256:${digest.slice(0, 16)}` : '')],
  ['mtime', ({ modifiedNs }) => timeText(modifiedNs)],
];

function timeText(ns: bigint): string {
  const fraction = ns % 1_000_000_000n;
  const time = new Date(Number(ns / 1_000_000n));
  const text = Number.isNaN(time.getTime()) ? String(ns) : time.toISOString();
  return fraction === 0n ? text.replace('.000Z', 'Z') : text;
}

/** Layers of the same entries: either they stand in another order, or the bytes around them differ. */
function* orderOf(first: readonly LayerEntry[], second: readonly LayerEntry[]): Generator<Difference> {
  const at = first.findIndex((entry, index) => entry.path !== second[index]?.path);
  if (at < 0) yield { field: 'archive format', first: 'same entries', second: 'same entries, other bytes' };
  else
    yield {
      path: first[at]?.path as string,
      field: 'order',
      first: `entry ${at + 1}`,
      second: `entry ${second.findIndex(({ path }) => path === first[at]?.path) + 1}`,
    };
}

/** The differences between two JSON values, by the names of their fields. */
export function* compareJson(first: unknown, second: unknown, field = ''): Generator<Difference> {
  if (isObject(first) && isObject(second)) {
    for (const key of new Set([...Object.keys(first), ...Object.keys(second)]))
      yield* compareJson(
        first[key],
        second[key],
        Array.isArray(first) ? `${field}[${key}]` : `${field}.${key}`,
      );
    return;
  }
  const [a, b] = [JSON.stringify(first) ?? 'not there', JSON.stringify(second) ?? 'not there'];
  if (a !== b) yield { field: field.replace(/^\./, ''), first: a, second: b };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
