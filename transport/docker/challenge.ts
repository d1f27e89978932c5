/** One challenge of a WWW-Authenticate header; scheme and parameter names are lower-case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN_CHARS = /[!#$%&'*+.^_`|~0-9A-Za-z-]/;

/**
 * Reads WWW-Authenticate headers (RFC 9110, 11.6.1), also several challenges in one header. Malformed rests are
 * dropped. Written by hand, since patterns for this grammar backtrack.
 */
export function parseChallenges(headers: readonly string[]): Challenge[] {
  return headers.flatMap((header) => new Reader(header.slice(0, 16_384)).challenges());
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  challenges(): Challenge[] {
    const found: { scheme: string; parameters: Map<string, string> }[] = [];
    while (this.#at < this.#text.length) {
      this.#skip(' \t,');
      const word = this.#token();
      if (word === '') return found;
      this.#skip(' \t');
      const current = found.at(-1);
      if (this.#text[this.#at] === '=' && current) {
        this.#at += 1;
        this.#skip(' \t');
        const value = this.#text[this.#at] === '"' ? this.#quoted() : this.#token();
        if (value === undefined) return found;
        const name = word.toLowerCase();
        if (!current.parameters.has(name)) current.parameters.set(name, value);
      } else if (this.#text[this.#at] === '=') return found;
      else found.push({ scheme: word.toLowerCase(), parameters: new Map() });
    }
    return found;
  }

  #skip(characters: string): void {
    while (this.#at < this.#text.length && characters.includes(this.#text[this.#at] as string)) this.#at += 1;
  }

  #token(): string {
    const start = this.#at;
    while (this.#at < this.#text.length && TOKEN_CHARS.test(this.#text[this.#at] as string)) this.#at += 1;
    return this.#text.slice(start, this.#at);
  }

  /** Undefined for a string that does not end. */
  #quoted(): string | undefined {
    let value = '';
    for (let at = this.#at + 1; at < this.#text.length; at += 1) {
      const char = this.#text[at] as string;
      if (char === '"') {
        this.#at = at + 1;
        return value;
      }
      if (char === '\\') at += 1;
      value += this.#text[at] ?? '';
    }
    this.#at = this.#text.length;
    return undefined;
  }
}
