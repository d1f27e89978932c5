import { BuildError } from '../error.ts';
import {
  type Pattern,
  parsePattern,
  type Replacement,
  removePrefix,
  removeSuffix,
  replacePattern,
} from './pattern.ts';
import { WordList } from './word-list.ts';

/** Looks a variable up; undefined means unset. */
export type Variables = (name: string) => string | undefined;

export interface ExpandOptions {
  /** The escape character of the file; default backslash. */
  readonly escape?: string;
  /** Quotes stay in the result; what single ones enclose is left alone. */
  readonly rawQuotes?: boolean;
  /** Quotes are characters like others. */
  readonly plainQuotes?: boolean;
  /** Escapes stay in the result. */
  readonly rawEscapes?: boolean;
  /** As both builders read heredocs, by BuildKit's rules alone: `$$` and `$@` are names, `/` ends a pattern. */
  readonly inHeredoc?: boolean;
  /** References to unset variables stay as written instead of becoming empty. */
  readonly keepUnset?: boolean;
  /** Longest result in characters; default a million. */
  readonly limit?: number;
  /** Told every name that was looked up and whether it was set. */
  readonly onLookup?: (name: string, set: boolean) => void;
}

/** Nesting of `${a:-${b:-…}}` beyond which a word is refused. */
const LIMIT_DEPTH = 200;
/** A value that holds itself twice doubles with each instruction. */
const LIMIT_RESULT = 1024 * 1024;

/**
 * Replaces `$v`, `${v}`, `${v:-w}` `${v-w}` `${v:+w}` `${v+w}` `${v:?w}` `${v?w}` `${v#p}` `${v##p}` `${v%p}` `${v%%p}`
 * `${v/p/r}` `${v//p/r}` in one word and takes quotes and escapes away, as BuildKit's frontend/dockerfile/shell;
 * `${v/#p/r}` `${v/%p/r}` for a prefix or suffix, and without `/r`, as Buildah.
 * @throws BuildError `syntax` for an unfinished quote or substitution, and for `${v:?w}` that fails
 */
export function expandWord(word: string, variables: Variables, options: ExpandOptions = {}): string {
  if (!/[$'"\\`<]/.test(word)) return word;
  return new Expander(word, variables, options).run().text;
}

/** As {@link expandWord}, then split at the spaces that were not quoted. */
export function expandWords(text: string, variables: Variables, options: ExpandOptions = {}): string[] {
  return new Expander(text, variables, options).run().words;
}

const REPLACEMENTS: Readonly<Record<string, Replacement>> = { '/': 'all', '#': 'prefix', '%': 'suffix' };
const NAME = /^(?:\d|[@*#?\-$!]|[\p{L}_][\p{L}\p{Nd}_]*)/u;
const NAME_OR_NUMBER = /^(?:\d+|[@*#?\-$!]|[\p{L}_][\p{L}\p{Nd}_]*)/u;
const SIGNS: Readonly<Record<Replacement, string>> = { first: '', all: '/', prefix: '#', suffix: '%' };

class Expander {
  readonly #text: string;
  readonly #variables: Variables;
  readonly #escape: string;
  readonly #options: ExpandOptions;
  #rawEscapes: boolean;
  #at = 0;
  #depth = 0;

  constructor(text: string, variables: Variables, options: ExpandOptions) {
    this.#text = text;
    this.#variables = variables;
    this.#escape = options.escape ?? '\\';
    this.#options = options;
    this.#rawEscapes = options.rawEscapes ?? false;
  }

  run(): { text: string; words: string[] } {
    return this.#until('', this.#rawEscapes);
  }

  #fail(why: string): never {
    throw new BuildError('syntax', `failed to process ${JSON.stringify(shorten(this.#text))}: ${why}`);
  }

  #checkLength(length: number): void {
    const { limit = LIMIT_RESULT } = this.#options;
    if (length > limit) this.#fail(`the result is longer than ${limit} characters`);
  }

  /** Up to one of the characters of `stops`, which is taken, or to the end where there are none. */
  #until(stops: string, rawEscapes: boolean): { text: string; words: string[] } {
    const before = this.#rawEscapes;
    this.#rawEscapes = rawEscapes;
    const parts: string[] = [];
    const words = new WordList();
    let length = 0;
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at] as string;
      if (stops.includes(char)) {
        this.#at += 1;
        this.#rawEscapes = before;
        return { text: parts.join(''), words: words.finish() };
      }
      this.#one(char, parts, words);
      length += parts.at(-1)?.length ?? 0;
      this.#checkLength(length);
    }
    this.#rawEscapes = before;
    if (stops !== '') this.#fail(`unexpected end of statement while looking for matching '${stops}'`);
    return { text: parts.join(''), words: words.finish() };
  }

  #one(char: string, parts: string[], words: WordList): void {
    if (char === '$') {
      const value = this.#dollar();
      parts.push(value);
      words.add(value);
    } else if (char === '<' || (!this.#options.plainQuotes && (char === "'" || char === '"'))) {
      const value = char === '<' ? this.#heredoc() : char === '"' ? this.#doubleQuote() : this.#singleQuote();
      parts.push(value);
      words.addRaw(value);
    } else if (char === this.#escape) {
      this.#at += 1;
      const next = this.#take();
      const kept = (this.#rawEscapes ? char : '') + next;
      parts.push(kept);
      words.addRaw(kept);
    } else {
      this.#at += 1;
      parts.push(char);
      words.add(char);
    }
  }

  /** One code point; empty at the end. */
  #take(): string {
    const code = this.#text.codePointAt(this.#at);
    if (code === undefined) return '';
    const char = String.fromCodePoint(code);
    this.#at += char.length;
    return char;
  }

  #singleQuote(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) this.#fail('unexpected end of statement while looking for matching single-quote');
    const inner = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return this.#options.rawQuotes ? `'${inner}'` : inner;
  }

  #doubleQuote(): string {
    const quote = this.#options.rawQuotes ? '"' : '';
    const parts = [quote];
    let length = 0;
    this.#at += 1;
    while (this.#at < this.#text.length) {
      length += parts.at(-1)?.length ?? 0;
      this.#checkLength(length);
      const char = this.#text[this.#at] as string;
      if (char === '"') {
        this.#at += 1;
        return parts.join('') + quote;
      }
      if (char === '$') parts.push(this.#dollar());
      else if (char === this.#escape) parts.push(this.#escapeInQuotes());
      else {
        this.#at += 1;
        parts.push(char);
      }
    }
    return this.#fail('unexpected end of statement while looking for matching double-quote');
  }

  #escapeInQuotes(): string {
    this.#at += 1;
    const raw = this.#rawEscapes ? this.#escape : '';
    const next = this.#text[this.#at];
    if (next === undefined) return raw;
    if (next === '"' || next === '$' || next === this.#escape) {
      this.#at += 1;
      return raw + next;
    }
    return raw + this.#escape;
  }

  /** `<< NAME` stays one word, whatever spaces stand between. */
  #heredoc(): string {
    this.#at += 1;
    if (this.#text[this.#at] !== '<') return '<';
    this.#at += 1;
    const start = this.#at;
    while (/[\t\r ]/.test(this.#text[this.#at] ?? '')) this.#at += 1;
    return `<<${this.#text.slice(start, this.#at)}`;
  }

  /** @param wholeNumber false: `$10` is `$1` and a nought, as in a shell */
  #name(wholeNumber: boolean): string {
    const pattern = wholeNumber ? NAME_OR_NUMBER : NAME;
    const rest = pattern.exec(this.#text.slice(this.#at, this.#at + 256));
    let name = rest?.[0] ?? '';
    this.#at += name.length;
    while (name.length >= 256 && /[\p{L}\p{Nd}_]/u.test(this.#text[this.#at] ?? '')) {
      name += this.#text[this.#at];
      this.#at += 1;
    }
    return name;
  }

  #lookup(name: string): string | undefined {
    const value = this.#variables(name);
    this.#options.onLookup?.(name, value !== undefined);
    return value;
  }

  #dollar(): string {
    this.#at += 1;
    const next = this.#text[this.#at] ?? '';
    // Buildah knows no $$, $? and the like: the dollar stays, and what follows it is read on its own.
    if (!this.#options.inHeredoc && '@*#?-$!'.includes(next)) return '$';
    if (next !== '{') {
      const name = this.#name(this.#options.inHeredoc ?? false);
      if (name === '') return '$';
      const value = this.#lookup(name);
      return value ?? (this.#options.keepUnset ? `$${name}` : '');
    }
    this.#depth += 1;
    if (this.#depth > LIMIT_DEPTH) this.#fail(`substitutions are nested deeper than ${LIMIT_DEPTH}`);
    const value = this.#braces();
    this.#depth -= 1;
    return value;
  }

  #braces(): string {
    this.#at += 1;
    const first = this.#text[this.#at];
    if (first === undefined) this.#fail("syntax error: missing '}'");
    if ('{}:'.includes(first)) this.#fail('syntax error: bad substitution');
    const name = this.#name(true);
    const operator = this.#take();
    if (operator === '}') {
      const value = this.#lookup(name);
      return value ?? (this.#options.keepUnset ? `\${${name}}` : '');
    }
    if (operator === '') this.#fail("syntax error: missing '}'");
    if (operator === '/') return this.#replace(name);
    const colon = operator === ':';
    const modifier = colon ? this.#take() : operator;
    if (!'+-?#%'.includes(modifier) || modifier === '' || (colon && '#%'.includes(modifier)))
      this.#fail(`unsupported modifier (${(colon ? ':' : '') + modifier}) in substitution`);
    const word = this.#inner('}', modifier === '#' || modifier === '%');
    const value = this.#lookup(name);
    if (value === undefined && this.#options.keepUnset)
      return `\${${name}${colon ? ':' : ''}${modifier}${word}}`;
    return this.#modify(name, modifier, colon, word, value);
  }

  #inner(stops: string, rawEscapes: boolean): string {
    try {
      return this.#until(stops, rawEscapes).text;
    } catch (error) {
      if (!(error instanceof BuildError) || this.#at < this.#text.length) throw error;
      return this.#fail(`syntax error: missing '${stops.at(-1)}'`);
    }
  }

  #modify(name: string, modifier: string, colon: boolean, word: string, value: string | undefined): string {
    const missing = value === undefined || (colon && value === '');
    if (modifier === '-') return missing ? word : value;
    if (modifier === '+') return missing ? '' : word;
    if (modifier === '?') {
      if (!missing) return value;
      return this.#fail(
        `${name}: ${word || (value === undefined ? 'is not allowed to be unset' : 'is not allowed to be empty')}`,
      );
    }
    const longest = word.startsWith(modifier);
    const pattern = this.#pattern(longest ? word.slice(1) : word);
    return modifier === '#'
      ? removePrefix(value ?? '', pattern, longest)
      : removeSuffix(value ?? '', pattern, longest);
  }

  /** The second slash and what follows it may be missing. */
  #replace(name: string): string {
    const { mode, patternText } = this.#replaced(name);
    const hasReplacement = this.#text[this.#at - 1] === '/';
    const replacement = hasReplacement ? this.#inner('}', this.#rawEscapes) : '';
    const value = this.#lookup(name);
    if (value === undefined && this.#options.keepUnset)
      return `\${${name}/${SIGNS[mode]}${patternText}${hasReplacement ? `/${replacement}` : ''}}`;
    const limit = this.#options.limit ?? LIMIT_RESULT;
    try {
      return replacePattern(value ?? '', this.#pattern(patternText), replacement, mode, limit);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return this.#fail(error.message);
    }
  }

  #pattern(text: string): Pattern {
    return parsePattern(text, { sets: !this.#options.inHeredoc });
  }

  /** A sign or a brace with nothing between it and the slash is the pattern itself. */
  #replaced(name: string): { mode: Replacement; patternText: string } {
    const sign = this.#text[this.#at] ?? '';
    const mode = (this.#options.inHeredoc && sign !== '/' ? undefined : REPLACEMENTS[sign]) ?? 'first';
    if (mode !== 'first') this.#at += 1;
    if (this.#options.inHeredoc) return { mode, patternText: this.#inner('/', true) };
    const start = this.#at;
    const patternText = this.#inner('/}', true);
    if (this.#at !== start + 1) return { mode, patternText };
    if (this.#text[start] === '/')
      return mode === 'prefix' || mode === 'suffix'
        ? { mode: 'first', patternText: SIGNS[mode] }
        : { mode, patternText };
    if (!this.#text.includes('/', this.#at)) this.#fail(`${name}/: no pattern to replace`);
    this.#at = start;
    return { mode, patternText: this.#inner('/', true) };
  }
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
