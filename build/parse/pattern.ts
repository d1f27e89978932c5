/** A character, a set of them, or `null` for any (`?`). */
type Element = string | CharacterSet | null;

interface CharacterSet {
  readonly negated: boolean;
  readonly ranges: readonly (readonly [first: string, last: string])[];
}

/** Segments are what stands between the `*` of a pattern. */
export type Pattern = readonly (readonly Element[])[];

/**
 * Parses a shell pattern of `*`, `?`, escapes (BuildKit's convertShellPatternToRegex) and sets such as `[a-z]`, `[^x]`
 * (Buildah). A bracket that begins no set is a character. Matching needs no regular expression and takes linear time
 * for a fixed pattern.
 * @param options `sets` false: brackets are characters
 */
export function parsePattern(text: string, { sets = true } = {}): Pattern {
  const segments: Element[][] = [[]];
  const chars = [...text];
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at] as string;
    const segment = segments.at(-1) as Element[];
    const found = sets && char === '[' ? readSet(chars, at) : undefined;
    if (found) {
      segment.push(found.set);
      at = found.end;
    } else if (char === '*') segments.push([]);
    else if (char === '?') segment.push(null);
    else {
      if (char === '\\' && at + 1 < chars.length) at += 1;
      segment.push(chars[at] as string);
    }
  }
  return segments;
}

/** As path.Match of Go: `[a-c]`, `[^a-c]`, escapes; undefined where that would be malformed. */
function readSet(chars: readonly string[], start: number): { set: CharacterSet; end: number } | undefined {
  const negated = chars[start + 1] === '^';
  const ranges: [string, string][] = [];
  let at = start + (negated ? 2 : 1);
  const member = () => {
    if (chars[at] === '-' || (chars[at] === ']' && chars[at - 1] !== '\\')) return undefined;
    if (chars[at] === '\\') at += 1;
    at += 1;
    return chars[at - 1];
  };
  while (ranges.length === 0 || chars[at] !== ']') {
    const first = member();
    if (first === undefined) return undefined;
    let last: string | undefined = first;
    if (chars[at] === '-') {
      at += 1;
      last = member();
    }
    if (last === undefined) return undefined;
    ranges.push([first, last]);
  }
  return { set: { negated, ranges }, end: at };
}

function isMatch(element: Element, char: string): boolean {
  if (element === null) return true;
  if (typeof element === 'string') return element === char;
  return element.ranges.some(([first, last]) => isWithin(char, first, last)) !== element.negated;
}

function isWithin(char: string, first: string, last: string): boolean {
  const code = char.codePointAt(0) as number;
  return code >= (first.codePointAt(0) as number) && code <= (last.codePointAt(0) as number);
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

/**
 * The longest match, or all of them, replaced. An empty pattern matches at the start, or beside every character.
 * @throws RangeError where the result would be longer than `limit`
 */
export function replacePattern(
  value: string,
  pattern: Pattern,
  replacement: string,
  mode: Replacement,
  limit = Number.POSITIVE_INFINITY,
): string {
  if (mode === 'prefix' || mode === 'suffix') return replaceEnd(value, pattern, replacement, mode);
  const all = mode === 'all';
  const chars = [...value];
  if (pattern.length === 1 && pattern[0]?.length === 0)
    return joined(['', ...(all ? chars : [value]), ...(all ? [''] : [])], replacement, limit);
  const kept: string[] = [''];
  let at = 0;
  while (at < chars.length) {
    const end = matchAt(chars, at, pattern, true);
    if (end > at) {
      kept.push('');
      at = end;
      if (!all) break;
    } else if (end === TAIL_MISSING) break;
    else {
      kept[kept.length - 1] += chars[at] as string;
      at += 1;
    }
  }
  kept[kept.length - 1] += chars.slice(at).join('');
  return joined(kept, replacement, limit);
}

function joined(kept: readonly string[], replacement: string, limit: number): string {
  const length = kept.reduce((sum, text) => sum + text.length, replacement.length * (kept.length - 1));
  if (length > limit) throw new RangeError(`the result is longer than ${limit} characters`);
  return kept.join(replacement);
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

function fits(chars: readonly string[], at: number, segment: readonly Element[]): boolean {
  return (
    at + segment.length <= chars.length &&
    segment.every((element, index) => isMatch(element, chars[at + index] as string))
  );
}

function find(chars: readonly string[], from: number, segment: readonly Element[]): number {
  for (let at = from; at + segment.length <= chars.length; at += 1) if (fits(chars, at, segment)) return at;
  return -1;
}

function findLast(chars: readonly string[], from: number, segment: readonly Element[]): number {
  for (let at = chars.length - segment.length; at >= from; at -= 1) if (fits(chars, at, segment)) return at;
  return -1;
}
