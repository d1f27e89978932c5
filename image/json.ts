import { isUtf8 } from 'node:buffer';
import { ImageError } from './error.ts';
import { goEscapes } from './go-json.ts';

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };
export type JsonObject = { [key: string]: JsonValue };

/** Limits of {@link parseJson}. */
export interface JsonLimits {
  /** The document's name in error messages, such as `manifest`. */
  readonly what: string;
  /** Default 4 MiB, as containers/image caps manifests and configs. */
  readonly limitBytes?: number;
  /** Default 512 levels. */
  readonly limitDepth?: number;
}

export const MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024;
const DEFAULT_DEPTH = 512;

/**
 * Strict RFC 8259 and RFC 7493 (I-JSON) parsing of a hostile document: UTF-8 without a byte order mark, no duplicate
 * keys, bounded size and depth. Objects have a null prototype, so that a key `__proto__` is an ordinary key.
 * @throws ImageError `bad-json`, `too-large`
 */
export function parseJson(bytes: Uint8Array | string, limits: JsonLimits): JsonValue {
  const limitBytes = limits.limitBytes ?? MANIFEST_LIMIT_BYTES;
  if (bytes.length > limitBytes) {
    throw new ImageError(
      'too-large',
      `${limits.what} of ${bytes.length} bytes exceeds the limit of ${limitBytes} bytes`,
    );
  }
  const text = typeof bytes === 'string' ? bytes : decode(bytes, limits.what);
  const limitDepth = limits.limitDepth ?? DEFAULT_DEPTH;
  return parseRegular(text, limitDepth) ?? new Scanner(text, limits.what, limitDepth).document();
}

function decode(bytes: Uint8Array, what: string): string {
  if (!isUtf8(bytes)) throw new ImageError('bad-json', `${what} is not valid UTF-8`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

/** As {@link parseJson}, and the document must be an object. */
export function parseJsonObject(bytes: Uint8Array | string, limits: JsonLimits): JsonObject {
  const value = parseJson(bytes, limits);
  if (!isJsonObject(value)) throw new ImageError('bad-json', `${limits.what} is not a JSON object`);
  return value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The object or list in a text that is written as V8 or Go write that very value: it has no key twice, and V8 parses it
 * in less time than it takes to start a scanner. Undefined for any other text.
 */
function parseRegular(text: string, limitDepth: number): JsonValue | undefined {
  const line = text.endsWith('\n') ? text.slice(0, -1) : text;
  try {
    const value = JSON.parse(line) as JsonValue;
    const indent = /^[[{]\n( +|\t)/.exec(line.slice(0, 16))?.[1];
    const written = JSON.stringify(value, undefined, indent);
    if (written !== line && goEscapes(written) !== line) return undefined;
    return bare(value, limitDepth) ? value : undefined;
  } catch {
    // Not JSON, or nested too deep: the scanner says where.
    return undefined;
  }
}

/** Takes the prototypes of all objects. False where they are nested too deep. */
function bare(value: JsonValue, depthLeft: number): boolean {
  if (depthLeft < 0) return false;
  if (typeof value !== 'object' || value === null) return true;
  if (!Array.isArray(value)) Object.setPrototypeOf(value, null);
  for (const inner of Object.values(value)) if (!bare(inner, depthLeft - 1)) return false;
  return true;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

class Scanner {
  readonly #text: string;
  readonly #what: string;
  readonly #limitDepth: number;
  #at = 0;

  constructor(text: string, what: string, limitDepth: number) {
    this.#text = text;
    this.#what = what;
    this.#limitDepth = limitDepth;
  }

  document(): JsonValue {
    const value = this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) this.#fail('has data after its end');
    return value;
  }

  #fail(why: string): never {
    throw new ImageError('bad-json', `${this.#what} is not valid JSON: ${why} (at character ${this.#at})`);
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at += 1;
    }
  }

  #value(depth: number): JsonValue {
    if (depth > this.#limitDepth) this.#fail(`nested deeper than ${this.#limitDepth} levels`);
    this.#space();
    const char = this.#text[this.#at];
    if (char === '{') return this.#object(depth);
    if (char === '[') return this.#array(depth);
    if (char === '"') return this.#string();
    for (const [word, value] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (!match) this.#fail(this.#at >= this.#text.length ? 'it ends too early' : 'unexpected character');
    this.#at += match[0].length;
    const value = Number(match[0]);
    if (!Number.isFinite(value)) this.#fail('a number is out of range');
    return value;
  }

  #string(): string {
    const start = this.#at;
    this.#at += 1;
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (Number.isNaN(code)) this.#fail('a string does not end');
      if (code === 0x22) break;
      this.#at += code === 0x5c ? 2 : 1;
    }
    this.#at += 1;
    try {
      return JSON.parse(this.#text.slice(start, this.#at)) as string;
    } catch {
      return this.#fail('a string has a bad escape or control character');
    }
  }

  #array(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.#at += 1;
    this.#space();
    if (this.#text[this.#at] === ']') {
      this.#at += 1;
      return items;
    }
    for (;;) {
      items.push(this.#value(depth + 1));
      this.#space();
      const char = this.#text[this.#at];
      this.#at += 1;
      if (char === ']') return items;
      if (char !== ',') this.#fail('expected , or ]');
    }
  }

  #object(depth: number): JsonObject {
    const object: JsonObject = Object.create(null) as JsonObject;
    this.#at += 1;
    this.#space();
    if (this.#text[this.#at] === '}') {
      this.#at += 1;
      return object;
    }
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') this.#fail('expected a key');
      const key = this.#string();
      if (key in object) this.#fail(`duplicate key ${JSON.stringify(key)}`);
      this.#space();
      if (this.#text[this.#at] !== ':') this.#fail('expected :');
      this.#at += 1;
      object[key] = this.#value(depth + 1);
      this.#space();
      const char = this.#text[this.#at];
      this.#at += 1;
      if (char === '}') return object;
      if (char !== ',') this.#fail('expected , or }');
    }
  }
}
