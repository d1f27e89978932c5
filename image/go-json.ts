/**
 * JSON bytes as Go's encoding/json writes them for the same value: no spaces, `<`, `>`, `&` and the line separators
 * escaped. Conversions are digest-compatible with containers/image through this. Objects keep the caller's key order
 * (Go's structs), Maps are sorted by key (Go's maps), undefined fields are left out.
 */
export function goJson(value: unknown): Uint8Array {
  return Buffer.from(goJsonText(value), 'utf8');
}

const ESCAPES: Record<string, string> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

/** The text of {@link goJson}; over several lines with an `indent`, as MarshalIndent writes it. */
export function goJsonText(value: unknown, indent = ''): string {
  return written(value, indent, '\n');
}

function written(value: unknown, indent: string, line: string): string {
  if (typeof value !== 'object' || value === null) return goEscapes(JSON.stringify(value ?? null));
  const { toJSON } = value as { readonly toJSON?: () => unknown };
  if (typeof toJSON === 'function') return written(toJSON.call(value), indent, line);
  if (Array.isArray(value)) {
    const items = value.map((item) => written(item, indent, line + indent));
    return enclosed('[', items, ']', indent, line);
  }
  if (value instanceof Map)
    return members(
      [...value].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
      indent,
      line,
    );
  return members(Object.entries(value), indent, line);
}

/** JSON as JSON.stringify writes it, with the escapes that Go adds. */
export function goEscapes(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (char) => ESCAPES[char] as string);
}

function members(entries: readonly (readonly [string, unknown])[], indent: string, line: string): string {
  const colon = indent ? ': ' : ':';
  const items = entries
    .filter(([, value]) => value !== undefined && typeof value !== 'function')
    .map(([key, value]) => goJsonText(String(key)) + colon + written(value, indent, line + indent));
  return enclosed('{', items, '}', indent, line);
}

function enclosed(
  open: string,
  items: readonly string[],
  close: string,
  indent: string,
  line: string,
): string {
  if (!indent || items.length === 0) return open + items.join(',') + close;
  return `${open}${line}${indent}${items.join(`,${line}${indent}`)}${line}${close}`;
}

/** A map as Go writes one with omitempty: sorted by key; undefined for an absent or empty one. */
export function sortedMap<T>(
  map: Readonly<Record<string, T>> | null | undefined,
): Map<string, T> | undefined {
  const entries = Object.entries(map ?? {});
  return entries.length === 0 ? undefined : new Map(entries);
}

/** Go's omitempty for strings and lists. */
export function nonEmpty<T extends string | readonly unknown[]>(value: T | null | undefined): T | undefined {
  return value === undefined || value === null || value.length === 0 ? undefined : value;
}
