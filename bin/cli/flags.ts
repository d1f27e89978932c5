import type { FlagSpec, Flags, FlagValue } from './contract.ts';
import { splitCsv } from './csv.ts';
import { parseByteSize, parseDuration } from './duration.ts';
import { UsageError } from './error.ts';

/** `--help` is everybody's. */
export const HELP_FLAG: FlagSpec = { name: 'help', short: 'h', kind: 'bool', usage: 'show this help' };

export interface ParsedLine {
  readonly flags: ParsedFlags;
  readonly args: readonly string[];
  /** Index in `args` where `--` stood, or -1 (cobra's ArgsLenAtDash). */
  readonly dashAt: number;
}

/**
 * Parses words as spf13/pflag: `--name=value`, `--name value`, `--bool`, `--bool=false`, `-abc`, `-ovalue`, `-o=value`,
 * `-o value`, `--` ends the flags.
 * @param interspersed false: the first argument ends the flags
 * @throws UsageError `unknown-flag`, `bad-flag` in pflag's words
 */
export function parseFlags(
  words: readonly string[],
  specs: readonly FlagSpec[],
  interspersed = true,
): ParsedLine {
  const flags = new ParsedFlags(specs);
  const args: string[] = [];
  let dashAt = -1;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as string;
    if (word === '--') {
      dashAt = args.length;
      args.push(...words.slice(at + 1));
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      if (!interspersed) {
        args.push(...words.slice(at));
        break;
      }
      args.push(word);
      continue;
    }
    at += word.startsWith('--') ? flags.takeLong(word, words[at + 1]) : flags.takeShorts(word, words[at + 1]);
  }
  return { flags, args, dashAt };
}

/** The state behind {@link Flags}. */
export class ParsedFlags implements Flags {
  readonly #specs = new Map<string, FlagSpec>();
  readonly #shorts = new Map<string, FlagSpec>();
  readonly #values = new Map<string, FlagValue>();

  constructor(specs: readonly FlagSpec[]) {
    for (const spec of specs) {
      this.#specs.set(spec.name, spec);
      if (spec.short) this.#shorts.set(spec.short, spec);
    }
  }

  /** Consumes a `--` word; the result is how many following words it took. */
  takeLong(word: string, next: string | undefined): 0 | 1 {
    const equals = word.indexOf('=');
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
    if (name === '' || name.startsWith('-')) throw new UsageError('bad-flag', `bad flag syntax: ${word}`);
    const spec = this.#specs.get(name);
    if (!spec) throw new UsageError('unknown-flag', `unknown flag: --${name}`, { facts: { flag: name } });
    if (equals >= 0) return this.#set(spec, word.slice(equals + 1));
    const implied = impliedValue(spec);
    if (implied !== undefined) return this.#set(spec, implied);
    if (next === undefined) throw new UsageError('bad-flag', `flag needs an argument: --${name}`);
    this.#set(spec, next);
    return 1;
  }

  /** Consumes a word of shorthands. */
  takeShorts(word: string, next: string | undefined): 0 | 1 {
    for (let at = 1; at < word.length; at += 1) {
      const letter = word[at] as string;
      const spec = this.#shorts.get(letter);
      if (!spec)
        throw new UsageError('unknown-flag', `unknown shorthand flag: '${letter}' in -${word.slice(at)}`, {
          facts: { flag: letter },
        });
      const rest = word.slice(at + 1);
      if (rest.startsWith('=')) return this.#set(spec, rest.slice(1));
      const implied = impliedValue(spec);
      if (implied !== undefined) this.#set(spec, implied);
      else if (rest !== '') return this.#set(spec, rest);
      else if (next === undefined)
        throw new UsageError('bad-flag', `flag needs an argument: '${letter}' in -${word.slice(at)}`);
      else {
        this.#set(spec, next);
        return 1;
      }
    }
    return 0;
  }

  #set(spec: FlagSpec, text: string): 0 {
    try {
      this.#values.set(spec.name, combine(spec, this.#values.get(spec.name), text));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      const label = `${spec.short ? `-${spec.short}, ` : ''}--${spec.name}`;
      throw new UsageError(
        'bad-flag',
        `invalid argument ${JSON.stringify(text)} for ${JSON.stringify(label)} flag: ${error.message}`,
        { cause: error },
      );
    }
    return 0;
  }

  /** Adds the flags of a parent command that were given before the subcommand's name. */
  inherit(parent: ParsedFlags): void {
    for (const [name, value] of parent.#values)
      if (this.#specs.has(name) && !this.#values.has(name)) this.#values.set(name, value);
  }

  declares(name: string): boolean {
    return this.#specs.has(name);
  }

  changed(name: string): boolean {
    this.#spec(name);
    return this.#values.has(name);
  }

  #spec(name: string): FlagSpec {
    const spec = this.#specs.get(name);
    if (!spec) throw new Error(`flag ${name} is not declared by this command`);
    return spec;
  }

  #value(name: string): FlagValue {
    const spec = this.#spec(name);
    return this.#values.get(name) ?? spec.default;
  }

  bool(name: string): boolean {
    return this.#value(name) === true;
  }

  optionalBool(name: string): boolean | undefined {
    const value = this.#value(name);
    return typeof value === 'boolean' ? value : undefined;
  }

  string(name: string): string {
    return this.optionalString(name) ?? '';
  }

  optionalString(name: string): string | undefined {
    const value = this.#value(name);
    return value === undefined ? undefined : String(value);
  }

  number(name: string): number {
    return Number(this.#value(name) ?? 0);
  }

  list(name: string): readonly string[] {
    const value = this.#value(name);
    return Array.isArray(value) ? (value as readonly string[]) : [];
  }
}

/** The text of a flag that is declared and not empty. */
export function textFlag(flags: Flags, name: string): string | undefined {
  return (flags.declares(name) && flags.string(name)) || undefined;
}

/** The same flags under other names; those whose name is undefined count as not declared. */
export function renamedFlags(flags: Flags, rename: (name: string) => string | undefined): Flags {
  const known = (name: string) => {
    const own = rename(name);
    if (own === undefined) throw new Error(`flag ${name} is not declared by this command`);
    return own;
  };
  return {
    declares: (name) => {
      const own = rename(name);
      return own !== undefined && flags.declares(own);
    },
    changed: (name) => flags.changed(known(name)),
    bool: (name) => flags.bool(known(name)),
    optionalBool: (name) => flags.optionalBool(known(name)),
    string: (name) => flags.string(known(name)),
    optionalString: (name) => flags.optionalString(known(name)),
    number: (name) => flags.number(known(name)),
    list: (name) => flags.list(known(name)),
  };
}

function impliedValue(spec: FlagSpec): string | undefined {
  if (spec.impliedValue !== undefined) return spec.impliedValue;
  if (spec.kind === 'bool' || spec.kind === 'optionalBool') return 'true';
  return spec.kind === 'count' ? '+1' : undefined;
}

const BOOLEANS: Record<string, boolean> = {
  '1': true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  '0': false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false,
};

function combine(spec: FlagSpec, before: FlagValue, text: string): FlagValue {
  switch (spec.kind) {
    case 'bool':
    case 'optionalBool': {
      const value = Object.hasOwn(BOOLEANS, text) ? BOOLEANS[text] : undefined;
      if (value === undefined)
        throw new UsageError(
          'bad-flag',
          `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`,
        );
      return value;
    }
    case 'string':
      return text;
    case 'int':
    case 'uint':
      return parseInteger(text, spec.kind);
    case 'float': {
      const value = Number(text);
      if (text.trim() === '' || Number.isNaN(value))
        throw new UsageError(
          'bad-flag',
          `strconv.ParseFloat: parsing ${JSON.stringify(text)}: invalid syntax`,
        );
      return value;
    }
    case 'duration':
      return parseDuration(text);
    case 'bytes':
      return parseByteSize(text);
    case 'array':
      return [...(Array.isArray(before) ? before : []), text];
    case 'slice':
      return [...(Array.isArray(before) ? before : []), ...splitCsv(text)];
    case 'count':
      return text === '+1' ? Number(before ?? 0) + 1 : parseInteger(text, 'int');
  }
}

function parseInteger(text: string, kind: 'int' | 'uint'): number {
  const name = kind === 'int' ? 'ParseInt' : 'ParseUint';
  if (!(kind === 'int' ? /^[+-]?(0[xX][0-9a-fA-F]+|\d+)$/ : /^(0[xX][0-9a-fA-F]+|\d+)$/).test(text)) {
    throw new UsageError('bad-flag', `strconv.${name}: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  const value = /^[+-]?0\d/.test(text) ? Number.parseInt(text, 8) : Number(text);
  if (!Number.isSafeInteger(value))
    throw new UsageError('bad-flag', `strconv.${name}: parsing ${JSON.stringify(text)}: value out of range`);
  return value;
}
