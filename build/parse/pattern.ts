/** `null` stands for `?`. Segments are what stands between the `*` of a pattern. */
export type Pattern = readonly (readonly (string | null)[])[];

/**
 * Parses a shell pattern of `*`, `?` and escapes, without bracket expressions (BuildKit's
 * convertShellPatternToRegex). Matching needs no regular expression and takes linear time for a fixed pattern.
 * @throws RangeError for an escape of an ordinary character
 */
export function parsePattern(text: string): Pattern {
  const segments: (string | null)[][] = [[]];
  const chars = [...text];
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at] as string;
    const segment = segments.at(-1) as (string | null)[];
    if (char === '*') segments.push([]);
    else if (char === '?') segment.push(null);
    else if (char !== '\\') segment.push(char);
    else {
      at += 1;
      const next = chars[at];
      if (next === undefined || !'*?\\}/'.includes(next))
        throw new RangeError(`invalid escape '\\${next ?? ''}'`);
      segment.push(next);
    }
  }
  return segments;
}

export function removePrefix(value: string, pattern: Pattern, longest: boolean): string {
  const chars = [...value];
  const end = matchAt(chars, 0, pattern, longest);
  return end < 0 ? value : chars.slice(end).join('');
}

export function removeSuffix(value: string, pattern: Pattern, longest: boolean): string {
  const reversed = pattern.map((segment) => segment.toReversed()).toReversed();
  const chars = [...value].reverse();
  const end = matchAt(chars, 0, reversed, longest);
  return end < 0 ? value : chars.slice(end).reverse().join('');
}

/** Which matches are replaced: the leftmost, every one, or one that the value begins or ends with. */
export type Replacement = 'first' | 'all' | 'prefix' | 'suffix';

/** The longest match, or all of them, replaced. An empty pattern matches nothing. */
export function replacePattern(
  value: string,
  pattern: Pattern,
  replacement: string,
  mode: Replacement,
): string {
  if (pattern.length === 1 && pattern[0]?.length === 0) return value;
  if (mode === 'prefix' || mode === 'suffix') return replaceEnd(value, pattern, replacement, mode);
  const all = mode === 'all';
  const chars = [...value];
  const out: string[] = [];
  let at = 0;
  while (at < chars.length) {
    const end = matchAt(chars, at, pattern, true);
    if (end > at) {
      out.push(replacement);
      at = end;
      if (!all) break;
    } else if (end === TAIL_MISSING) break;
    else {
      out.push(chars[at] as string);
      at += 1;
    }
  }
  return out.join('') + chars.slice(at).join('');
}

function replaceEnd(value: string, pattern: Pattern, replacement: string, mode: 'prefix' | 'suffix'): string {
  const remove = mode === 'prefix' ? removePrefix : removeSuffix;
  const rest = remove(value, pattern, true);
  if (rest === value) return value;
  return mode === 'prefix' ? replacement + rest : rest + replacement;
}

const NO_MATCH = -1;
/** The first segment fits here but what follows it is nowhere behind: no later start can match either. */
const TAIL_MISSING = -2;

function matchAt(chars: readonly string[], start: number, pattern: Pattern, longest: boolean): number {
  const first = pattern[0] ?? [];
  if (!fits(chars, start, first)) return NO_MATCH;
  let at = start + first.length;
  if (pattern.length === 1) return at;
  for (const segment of pattern.slice(1, -1)) {
    const found = find(chars, at, segment);
    if (found < 0) return TAIL_MISSING;
    at = found + segment.length;
  }
  const last = pattern.at(-1) ?? [];
  const found = longest ? findLast(chars, at, last) : find(chars, at, last);
  return found < 0 ? TAIL_MISSING : found + last.length;
}

function fits(chars: readonly string[], at: number, segment: readonly (string | null)[]): boolean {
  return (
    at + segment.length <= chars.length &&
    segment.every((char, index) => char === null || char === chars[at + index])
  );
}

function find(chars: readonly string[], from: number, segment: readonly (string | null)[]): number {
  for (let at = from; at + segment.length <= chars.length; at += 1) if (fits(chars, at, segment)) return at;
  return -1;
}

function findLast(chars: readonly string[], from: number, segment: readonly (string | null)[]): number {
  for (let at = chars.length - segment.length; at >= from; at -= 1) if (fits(chars, at, segment)) return at;
  return -1;
}
