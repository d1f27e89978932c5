import { stripVTControlCharacters } from 'node:util';

/** A terminal, as far as the live view needs it. */
export interface TerminalStream {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

/** Lines at the bottom of a terminal that are drawn again in place, below lines that stay. */
export class Screen {
  readonly #stream: TerminalStream;
  #drawn = 0;

  constructor(stream: TerminalStream) {
    this.#stream = stream;
  }

  get columns(): number {
    return Math.max(20, this.#stream.columns ?? 80);
  }

  /** How many lines may move: all of them must be on the screen to be drawn over. */
  get rows(): number {
    return Math.max(3, (this.#stream.rows ?? 24) - 2);
  }

  draw(lines: readonly string[]): void {
    const shown = lines.slice(-this.rows).map((line) => `${fit(line, this.columns - 1)}\n`);
    this.#stream.write(HIDE_CURSOR + this.#eraseDrawn() + shown.join(''));
    this.#drawn = shown.length;
  }

  /** Writes whole lines that stay, above those that move. The next {@link draw} brings the latter back. */
  print(text: string): void {
    this.#stream.write(this.#eraseDrawn() + text);
    this.#drawn = 0;
  }

  close(): void {
    this.#stream.write(this.#eraseDrawn() + SHOW_CURSOR);
    this.#drawn = 0;
  }

  #eraseDrawn(): string {
    return this.#drawn > 0 ? `\x1b[${this.#drawn}A\x1b[J` : '';
  }
}

/** A line as it may be shown: no control sequences of whoever wrote it, what a carriage return hid left out. */
export function plainLine(text: string): string {
  const shown = text.replace(/\r+$/, '');
  return stripVTControlCharacters(shown.slice(shown.lastIndexOf('\r') + 1))
    .replaceAll('\t', '    ')
    .replace(/[\u0000-\u001f\u007f-\u009f]/g, '');
}

/** Ids of images as people read them. */
export function shortIds(text: string): string {
  return text.replace(/\b[0-9a-f]{64}\b/g, (id) => id.slice(0, 12));
}

/** Cuts a line to a number of columns; ideographs and the like take two. */
export function fit(text: string, columns: number): string {
  let width = 0;
  let out = '';
  for (const character of text) {
    const next = isWide(character.codePointAt(0) ?? 0) ? 2 : 1;
    if (width + next > columns) return `${[...out].slice(0, -1).join('')}…`;
    width += next;
    out += character;
  }
  return out;
}

function isWide(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff)
  );
}
