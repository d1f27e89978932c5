import { BuildError } from '../error.ts';

/** True where a path holds Go's wildcard characters. */
export function hasWildcard(path: string): boolean {
  return /[*?[]/.test(path);
}

/** Decides about one path component. */
export interface ComponentPattern {
  test(name: string): boolean;
}

type Token = 'star' | ((char: string) => boolean);

/**
 * One path component's pattern as Go's filepath.Match reads it: `*`, `?`, `[a-z]`, `[^a]`, `\` quotes. Matching goes
 * back to the last star only, so that its time is bounded by the product of the lengths.
 * @throws BuildError `bad-argument` for a pattern that does not end
 */
export function componentPattern(pattern: string): ComponentPattern {
  if (!/[*?[\\]/.test(pattern)) return { test: (name) => name === pattern };
  const tokens = tokenize([...pattern], pattern);
  return { test: (name) => matchesSequence(tokens, [...name], (token, char) => token(char)) };
}

/** Two-pointer matching of a sequence with stars; a star takes any number of items. */
function matchesSequence<T, I>(
  pattern: readonly ('star' | T)[],
  items: readonly I[],
  fits: (token: T, item: I) => boolean,
): boolean {
  let at = 0;
  let next = 0;
  let star = -1;
  let resume = 0;
  while (at < items.length) {
    const token = pattern[next];
    if (token === 'star') {
      star = next;
      resume = at;
      next += 1;
    } else if (token !== undefined && fits(token, items[at] as I)) {
      at += 1;
      next += 1;
    } else if (star >= 0) {
      resume += 1;
      at = resume;
      next = star + 1;
    } else return false;
  }
  while (pattern[next] === 'star') next += 1;
  return next === pattern.length;
}

function tokenize(chars: readonly string[], whole: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at] as string;
    if (char === '*') {
      if (tokens.at(-1) !== 'star') tokens.push('star');
    } else if (char === '?') tokens.push(() => true);
    else if (char === '[') {
      const end = classEnd(chars, at, whole);
      tokens.push(characterClass(chars.slice(at + 1, end)));
      at = end;
    } else if (char === '\\') {
      at += 1;
      const quoted = chars[at];
      if (quoted === undefined) throw badPattern(whole);
      tokens.push((other) => other === quoted);
    } else tokens.push((other) => other === char);
  }
  return tokens;
}

function classEnd(chars: readonly string[], start: number, whole: string): number {
  let at = start + 1;
  if (chars[at] === '^') at += 1;
  const first = at;
  for (; at < chars.length; at += 1) {
    if (chars[at] === '\\') at += 1;
    else if (chars[at] === ']' && at > first) return at;
  }
  throw badPattern(whole);
}

function characterClass(body: readonly string[]): (char: string) => boolean {
  const negated = body[0] === '^';
  const ranges: [string, string][] = [];
  for (let at = negated ? 1 : 0; at < body.length; at += 1) {
    if (body[at] === '\\') at += 1;
    const from = body[at] as string;
    if (body[at + 1] === '-' && at + 2 < body.length) {
      at += body[at + 2] === '\\' ? 3 : 2;
      ranges.push([from, body[at] as string]);
    } else ranges.push([from, from]);
  }
  return (char) => ranges.some(([from, to]) => char >= from && char <= to) !== negated;
}

function badPattern(pattern: string): BuildError {
  return new BuildError('bad-argument', `syntax error in pattern ${JSON.stringify(pattern)}`);
}

interface IgnoreRule {
  readonly components: readonly ('star' | ComponentPattern)[];
  readonly negated: boolean;
  /** The pattern as written: what lies below an excluded directory may be wanted where it begins with that directory. */
  readonly text: string;
}

/**
 * The rules of .dockerignore and .containerignore (moby patternmatcher): the last matching rule wins, a rule matches
 * what lies below a directory that it matches, `!` takes back, `**` crosses directories.
 */
export class IgnoreRules {
  readonly #rules: readonly IgnoreRule[];
  readonly hasExceptions: boolean;

  /** @throws BuildError `bad-argument` */
  constructor(patterns: readonly string[]) {
    this.#rules = patterns.flatMap((line) => parseRule(line) ?? []);
    this.hasExceptions = this.#rules.some((rule) => rule.negated);
  }

  get isEmpty(): boolean {
    return this.#rules.length === 0;
  }

  /** @param path relative to the context, `/` between components */
  excludes(path: string): boolean {
    const names = path.split('/');
    const candidates = names.map((_, index) => names.slice(0, index + 1)).reverse();
    let excluded = false;
    for (const { components, negated } of this.#rules) {
      if (negated !== excluded) continue;
      if (candidates.some((candidate) => matchesSequence(components, candidate, matchesName)))
        excluded = !negated;
    }
    return excluded;
  }

  /** True where an exception may name something below this excluded directory. */
  mayIncludeBelow(directory: string): boolean {
    if (!this.hasExceptions) return false;
    return this.#rules.some(({ negated, text }) => negated && `${text}/`.startsWith(`${directory}/`));
  }
}

const matchesName = (component: ComponentPattern, name: string) => component.test(name);

function parseRule(line: string): IgnoreRule | undefined {
  let pattern = line.trim();
  if (pattern === '' || pattern === '!') return undefined;
  const negated = pattern.startsWith('!');
  if (negated) pattern = pattern.slice(1).trim();
  pattern = clean(pattern).replace(/^\/+/, '');
  if (pattern === '' || pattern === '.') return undefined;
  // `a/**` is everything below `a`, not `a` itself.
  const components = pattern
    .replace(/\/\*\*$/, '/*/**')
    .split('/')
    .flatMap(ruleComponents);
  return { components, negated, text: pattern };
}

/** `**a` is `**` and then `a`, as Buildah reads it: BuildKit takes everything that ends with `a`. */
function ruleComponents(part: string): readonly ('star' | ComponentPattern)[] {
  if (part === '**') return ['star'];
  return part.startsWith('**') ? ['star', ...ruleComponents(part.slice(2))] : [componentPattern(part)];
}

/** Go's path.Clean for relative patterns. */
function clean(pattern: string): string {
  const parts: string[] = [];
  for (const part of pattern.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..' && parts.length && parts.at(-1) !== '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}
