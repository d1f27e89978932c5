import { BuildError } from '../error.ts';

/** True where a path holds Go's wildcard characters. */
export function hasWildcard(path: string): boolean {
  return /[*?[]/.test(path);
}

/**
 * One path component's pattern as Go's filepath.Match reads it: `*`, `?`, `[a-z]`, `[^a]`, `\` quotes.
 * @throws BuildError `bad-argument` for a pattern that does not end
 */
export function componentPattern(pattern: string): RegExp {
  return new RegExp(`^${translate(pattern, '[^/]*', pattern)}$`, 'su');
}

/** The text of a regular expression for wildcards; `star` is what one `*` stands for. */
function translate(pattern: string, star: string, whole: string): string {
  let source = '';
  for (let at = 0; at < pattern.length; at += 1) {
    const char = pattern[at] as string;
    if (char === '*') source += star;
    else if (char === '?') source += '[^/]';
    else if (char === '[') {
      const end = classEnd(pattern, at, whole);
      source += characterClass(pattern.slice(at + 1, end));
      at = end;
    } else if (char === '\\') {
      at += 1;
      if (at >= pattern.length) throw badPattern(whole);
      source += literal(pattern[at] as string);
    } else source += literal(char);
  }
  return source;
}

function classEnd(pattern: string, start: number, whole: string): number {
  let at = start + 1;
  if (pattern[at] === '^') at += 1;
  const first = at;
  for (; at < pattern.length; at += 1) {
    if (pattern[at] === '\\') at += 1;
    else if (pattern[at] === ']' && at > first) return at;
  }
  throw badPattern(whole);
}

function characterClass(body: string): string {
  const negated = body.startsWith('^');
  const inner = (negated ? body.slice(1) : body)
    .replace(/\\(.)/gsu, '$1')
    .replace(/[\\\]^[&~]/gu, (char) => `\\${char}`);
  return `[${negated ? '^' : ''}${inner}]`;
}

const literal = (char: string) => char.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

function badPattern(pattern: string): BuildError {
  return new BuildError('bad-argument', `syntax error in pattern ${JSON.stringify(pattern)}`);
}

interface IgnoreRule {
  readonly matches: RegExp;
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
    const parents: string[] = [];
    for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1))
      parents.push(path.slice(0, slash));
    let excluded = false;
    for (const { matches, negated } of this.#rules) {
      if (negated !== excluded) continue;
      if (matches.test(path) || parents.some((parent) => matches.test(parent))) excluded = !negated;
    }
    return excluded;
  }

  /** True where an exception may name something below this excluded directory. */
  mayIncludeBelow(directory: string): boolean {
    if (!this.hasExceptions) return false;
    return this.#rules.some(({ negated, text }) => negated && `${text}/`.startsWith(`${directory}/`));
  }
}

function parseRule(line: string): IgnoreRule | undefined {
  let pattern = line.trim();
  if (pattern === '' || pattern === '!') return undefined;
  const negated = pattern.startsWith('!');
  if (negated) pattern = pattern.slice(1).trim();
  pattern = clean(pattern).replace(/^\/+/, '');
  if (pattern === '' || pattern === '.') return undefined;
  return { matches: ignoreExpression(pattern), negated, text: pattern };
}

function ignoreExpression(pattern: string): RegExp {
  const parts = pattern.split('/');
  let source = '^';
  for (const [index, part] of parts.entries()) {
    const last = index === parts.length - 1;
    if (part === '**') source += last ? '.*' : '(?:[^/]+/)*';
    else source += translate(part.replace(/\*\*+/g, '*'), '[^/]*', pattern) + (last ? '' : '/');
  }
  return new RegExp(`${source}$`, 'su');
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
