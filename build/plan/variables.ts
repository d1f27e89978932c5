import type { Variables } from '../parse/expand.ts';

/** Overrides win, in place; new names go to the end. Entries are `NAME=value`. */
export function mergeEnvironment(defaults: readonly string[], overrides: readonly string[]): string[] {
  const merged = new Map<string, string>();
  for (const entry of [...defaults, ...overrides]) merged.set(nameOf(entry), entry);
  return [...merged.values()];
}

export function nameOf(entry: string): string {
  const equals = entry.indexOf('=');
  return equals < 0 ? entry : entry.slice(0, equals);
}

export function assignedValue(entry: string): string {
  const equals = entry.indexOf('=');
  return equals < 0 ? '' : entry.slice(equals + 1);
}

/** A lookup over maps, the first that knows a name wins. */
export function firstOf(...maps: readonly ReadonlyMap<string, string>[]): Variables {
  return (name) => {
    for (const map of maps) {
      const value = map.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  };
}

export function environmentMap(entries: readonly string[]): Map<string, string> {
  return new Map(entries.map((entry) => [nameOf(entry), assignedValue(entry)]));
}
