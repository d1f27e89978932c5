import { BuildError } from '../error.ts';
import { type Heredoc, heredocsOfLine } from './heredoc.ts';
import { splitFlags } from './words.ts';

/** Where an instruction stands; lines count from 1. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly endLine: number;
}

/** One logical line: an instruction word, its flags and the text behind them. */
export interface ScannedLine {
  readonly position: SourcePosition;
  /** The first word as written. */
  readonly keyword: string;
  /** `--x` and `--x=y` words in front of the arguments, quotes and escapes taken away. */
  readonly flags: readonly string[];
  /** The arguments, trimmed. */
  readonly rest: string;
  /** The logical line with its continuations joined, as image histories quote it. */
  readonly original: string;
  readonly heredocs: readonly Heredoc[];
  /** The comment lines above since the last instruction or lone `#`, without `#`; empty lines may stand between. */
  readonly comments: readonly string[];
  /** The first empty line inside a continuation. */
  readonly emptyLine?: number;
}

export interface ScannedFile {
  readonly lines: readonly ScannedLine[];
  /** Backslash, or a back quote by `# escape=`. */
  readonly escape: string;
  readonly syntax?: string;
  readonly check?: string;
}

/** Longest file and logical line taken, in characters. */
const LIMIT_FILE = 16 * 1024 * 1024;
const LIMIT_LINE = 2 * 1024 * 1024;
const HEREDOC_KEYWORDS = new Set(['run', 'copy', 'add']);

/**
 * Splits a Containerfile into logical lines: directives, comments, continuations, heredocs, byte order mark, CRLF.
 *
 * This is our own scanner and not dockerfile-ast, which takes 48 ms to load and quadratic time (8,000 instructions:
 * 3.4 s), accepts heredocs that never end, cuts JSON arrays at spaces and has no joined text of a line, which
 * histories and cache keys are made of. The tests compare the two on a corpus.
 * @throws BuildError `syntax` with file and line
 */
export function scanContainerfile(text: string, file: string): ScannedFile {
  if (text.length > LIMIT_FILE)
    throw new BuildError('syntax', `${file}: larger than ${LIMIT_FILE} characters`, {
      facts: { path: file },
    });
  return new FileScanner(text, file).scan();
}

const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/;
const DIRECTIVES = ['escape', 'syntax', 'check'];
/** The first word; other spaces than these are part of it. */
const KEYWORD = /^[^\t\v\f\r ]+/;

class FileScanner {
  readonly #rows: readonly string[];
  readonly #file: string;
  readonly #lines: ScannedLine[] = [];
  readonly #directives = new Map<string, string>();
  /** Some row has bytes that no instruction may have. */
  readonly #isSuspect: boolean;
  #escape = '\\';
  #continuation = /\\[ \t]*$/;
  #row = 0;
  #comments: string[] = [];

  constructor(text: string, file: string) {
    this.#rows = text.replace(/^\uFEFF/, '').split(/\r?\n/);
    if (this.#rows.at(-1) === '') this.#rows = this.#rows.slice(0, -1);
    this.#file = file;
    this.#isSuspect = text.includes('\0') || !text.isWellFormed();
  }

  scan(): ScannedFile {
    this.#readDirectives();
    while (this.#row < this.#rows.length) this.#logicalLine();
    const syntax = this.#directives.get('syntax');
    const check = this.#directives.get('check');
    return {
      lines: this.#lines,
      escape: this.#escape,
      ...(syntax ? { syntax } : {}),
      ...(check ? { check } : {}),
    };
  }

  #fail(line: number, why: string, hint?: string): never {
    throw new BuildError('syntax', `${this.#file}:${line}: ${why}`, {
      facts: { path: this.#file, line },
      ...(hint ? { hint } : {}),
    });
  }

  /**
   * Directives come first, before any comment, empty line or instruction. A shebang line may stand above them; it is a
   * comment to what looks for the escape character.
   */
  #readDirectives(): void {
    const shebang = this.#rows[0]?.startsWith('#!') ?? false;
    for (let row = shebang ? 1 : 0; row < this.#rows.length; row += 1) {
      const match = DIRECTIVE.exec((this.#rows[row] as string).trimStart());
      const name = match?.[1]?.toLowerCase();
      if (!match || name === undefined || !DIRECTIVES.includes(name)) return;
      this.#row = row + 1;
      if (this.#directives.has(name)) this.#fail(row + 1, `only one ${name} parser directive can be used`);
      this.#directives.set(name, match[2] as string);
      if (name === 'escape' && !shebang) this.#setEscape(match[2] as string, row + 1);
    }
  }

  #setEscape(value: string, line: number): void {
    if (value !== '\\' && value !== '`')
      this.#fail(
        line,
        `invalid ESCAPE '${value}'. Must be \` or \\`,
        'write "# escape=`" or leave the directive out',
      );
    this.#escape = value;
    this.#continuation = value === '`' ? /`[ \t]*$/ : /\\[ \t]*$/;
  }

  #logicalLine(): void {
    const start = this.#row + 1;
    const first = (this.#rows[this.#row] as string).trimStart();
    this.#row += 1;
    if (first === '') return;
    if (first.startsWith('#')) {
      const comment = first.slice(1).trim();
      if (comment === '') this.#comments = [];
      else this.#comments.push(comment);
      return;
    }
    const { original, emptyLine } = this.#join(first, start);
    if (original.trim() === '')
      this.#fail(start, 'unknown instruction: ', 'a line that is continued is empty');
    this.#push(original, start, emptyLine);
  }

  #join(first: string, start: number): { original: string; emptyLine: number | undefined } {
    const parts: string[] = [];
    let hasEmptyLine = false;
    let length = 0;
    let row: string | undefined = first;
    for (;;) {
      this.#checkRow(row, this.#row);
      const joined: string = row.replace(this.#continuation, '');
      parts.push(joined);
      length += joined.length;
      if (length > LIMIT_LINE) this.#fail(start, `line is longer than ${LIMIT_LINE} characters`);
      if (joined.length === row.length) break;
      const next = this.#nextContinued();
      hasEmptyLine ||= next.hasEmptyLine;
      if (next.row === undefined) break;
      row = next.row;
    }
    return { original: parts.join(''), emptyLine: hasEmptyLine ? this.#row : undefined };
  }

  /** What cannot be in a file name, an argument or an image's configuration. */
  #checkRow(row: string, line: number): void {
    if (!this.#isSuspect) return;
    if (row.includes('\0')) this.#fail(line, 'a NUL character');
    if (!row.isWellFormed()) this.#fail(line, 'text that is not UTF-8', 'save the file in UTF-8');
  }

  /** Comments and empty lines inside a continuation do not end it. */
  #nextContinued(): { row: string | undefined; hasEmptyLine: boolean } {
    let hasEmptyLine = false;
    for (; this.#row < this.#rows.length; this.#row += 1) {
      const trimmed = (this.#rows[this.#row] as string).trimStart();
      if (trimmed !== '' && !trimmed.startsWith('#')) {
        this.#row += 1;
        return { row: this.#rows[this.#row - 1], hasEmptyLine };
      }
      if (trimmed === '') hasEmptyLine = true;
    }
    return { row: undefined, hasEmptyLine };
  }

  #push(original: string, start: number, emptyLine: number | undefined): void {
    const keyword = KEYWORD.exec(original)?.[0] ?? '';
    const { flags, rest } = splitFlags(original.slice(keyword.length));
    const heredocs = this.#takesHeredocs(keyword, rest) ? this.#readHeredocs(original, start) : [];
    this.#lines.push({
      position: { file: this.#file, line: start, endLine: this.#row },
      keyword,
      flags,
      rest: rest.trim(),
      original,
      heredocs,
      comments: this.#comments,
      ...(emptyLine === undefined ? {} : { emptyLine }),
    });
    this.#comments = [];
  }

  #takesHeredocs(keyword: string, rest: string): boolean {
    let word = keyword.toLowerCase();
    let args = rest.trim();
    if (word === 'onbuild') {
      word = /^\S+/.exec(args)?.[0].toLowerCase() ?? '';
      args = splitFlags(args.slice(word.length)).rest.trim();
    }
    return HEREDOC_KEYWORDS.has(word) && !isJsonArray(args);
  }

  #readHeredocs(original: string, start: number): Heredoc[] {
    return heredocsOfLine(original).map((announced) => {
      const content: string[] = [];
      for (;;) {
        if (this.#row >= this.#rows.length)
          this.#fail(
            start,
            `unterminated heredoc ${announced.name}`,
            `end it with a line that is ${announced.name} alone`,
          );
        const row = this.#rows[this.#row] as string;
        this.#row += 1;
        this.#checkRow(row, this.#row);
        if ((announced.chomp ? row.replace(/^\t+/, '') : row) === announced.name) break;
        content.push(`${row}\n`);
      }
      return { ...announced, content: content.join('') };
    });
  }
}

function isJsonArray(text: string): boolean {
  if (!text.startsWith('[')) return false;
  try {
    return Array.isArray(JSON.parse(text));
  } catch {
    return false;
  }
}
