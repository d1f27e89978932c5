import { UsageError } from '../error.ts';

/** A parsed Go text/template. */
export type TemplateNode =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly pipe: Pipeline }
  | {
      readonly kind: 'if' | 'with' | 'range';
      readonly pipe: Pipeline;
      readonly body: readonly TemplateNode[];
      readonly otherwise: readonly TemplateNode[];
    };

/** `$a, $b := command | command`. */
export interface Pipeline {
  readonly declares: readonly string[];
  readonly assigns: boolean;
  readonly commands: readonly (readonly Operand[])[];
}

export type Operand =
  | { readonly kind: 'field'; readonly names: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string; readonly names: readonly string[] }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'literal'; readonly value: string | number | boolean | null }
  | { readonly kind: 'group'; readonly pipe: Pipeline; readonly names: readonly string[] };

/** @throws UsageError `bad-template` */
export function parseTemplate(text: string): readonly TemplateNode[] {
  const parser = new Parser(splitActions(text));
  return parser.all();
}

type Piece = { readonly text: string } | { readonly action: string };

/** Cuts at `{{` and `}}`, with `{{-` and `-}}` trimming the text beside them; comments vanish. */
function splitActions(text: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trim = false;
  for (;;) {
    const open = text.indexOf('{{', at);
    let plain = text.slice(at, open < 0 ? text.length : open);
    if (trim) plain = plain.trimStart();
    if (open < 0) {
      pieces.push({ text: plain });
      return pieces;
    }
    const close = endOfAction(text, open + 2);
    let body = text.slice(open + 2, close);
    if (/^-\s/.test(body)) {
      plain = plain.trimEnd();
      body = body.slice(1);
    }
    trim = /\s-$/.test(body);
    if (trim) body = body.slice(0, -1);
    pieces.push({ text: plain });
    if (!/^\s*\/\*[\s\S]*\*\/\s*$/.test(body)) pieces.push({ action: body.trim() });
    at = close + 2;
  }
}

function endOfAction(text: string, from: number): number {
  let quote = '';
  for (let at = from; at < text.length; at += 1) {
    const char = text[at] as string;
    if (quote) {
      if (char === '\\' && quote !== '`') at += 1;
      else if (char === quote) quote = '';
    } else if (char === '"' || char === '`' || char === "'") quote = char;
    else if (char === '}' && text[at + 1] === '}') return at;
  }
  throw bad('unclosed action');
}

class Parser {
  readonly #pieces: readonly Piece[];
  #at = 0;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  all(): readonly TemplateNode[] {
    const { nodes, end } = this.#list();
    if (end !== '') throw bad(`unexpected {{${end}}}`);
    return nodes;
  }

  /** Nodes up to `end`, `else` or the end of the text. */
  #list(): { nodes: TemplateNode[]; end: string } {
    const nodes: TemplateNode[] = [];
    while (this.#at < this.#pieces.length) {
      const piece = this.#pieces[this.#at] as Piece;
      this.#at += 1;
      if ('text' in piece) {
        if (piece.text) nodes.push({ kind: 'text', text: piece.text });
        continue;
      }
      const word = /^(if|with|range|end|else)\b/.exec(piece.action)?.[1];
      if (word === 'end' || word === 'else') return { nodes, end: piece.action };
      if (word === 'if' || word === 'with' || word === 'range')
        nodes.push(this.#block(word, piece.action.slice(word.length)));
      else nodes.push({ kind: 'action', pipe: parsePipeline(piece.action) });
    }
    return { nodes, end: '' };
  }

  #block(kind: 'if' | 'with' | 'range', condition: string): TemplateNode {
    const pipe = parsePipeline(condition);
    const { nodes: body, end } = this.#list();
    if (end === '') throw bad(`unexpected EOF, {{${kind}}} has no {{end}}`);
    if (end === 'end') return { kind, pipe, body, otherwise: [] };
    const chained = /^else\s+(if|with)\b/.exec(end);
    if (chained)
      return {
        kind,
        pipe,
        body,
        otherwise: [this.#block(chained[1] as 'if' | 'with', end.slice(chained[0].length))],
      };
    const rest = this.#list();
    if (rest.end !== 'end') throw bad(`unexpected {{${rest.end}}} in {{${kind}}}`);
    return { kind, pipe, body, otherwise: rest.nodes };
  }
}

const TOKEN =
  /\s*(?:(:=|=(?!=)|\||\(|\)|,)|("(?:[^"\\]|\\.)*"|`[^`]*`)|('(?:[^'\\]|\\.)')|(\$\w*(?:\.\w+)*)|((?:\.\w+)+|\.)|([-+]?\d[\w.]*)|(\w+))/y;

function parsePipeline(text: string): Pipeline {
  const tokens = tokenize(text);
  const reader = { tokens, at: 0 };
  const pipe = readPipeline(reader);
  if (reader.at < tokens.length) throw bad(`unexpected ${JSON.stringify(tokens[reader.at])} in command`);
  return pipe;
}

function tokenize(text: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) throw bad(`unexpected ${JSON.stringify(text.slice(from).trim().slice(0, 20))} in command`);
    const glued =
      match[5] !== undefined && match[5] !== '.' && !/^\s/.test(match[0]) && tokens.at(-1) === ')';
    if (glued) tokens[tokens.length - 1] = `)${match[5]}`;
    else tokens.push(match[0].trim());
  }
  return tokens;
}

interface Reader {
  readonly tokens: readonly string[];
  at: number;
}

function readPipeline(reader: Reader): Pipeline {
  const { tokens } = reader;
  const head = tokens.slice(reader.at);
  let declares: string[] = [];
  let assigns = false;
  const sign = head.findIndex((token) => token === ':=' || token === '=');
  if (sign > 0 && head.slice(0, sign).every((token) => token === ',' || /^\$\w+$/.test(token))) {
    declares = head.slice(0, sign).filter((token) => token !== ',');
    assigns = head[sign] === '=';
    reader.at += sign + 1;
  }
  const commands: Operand[][] = [[]];
  while (reader.at < tokens.length) {
    const token = tokens[reader.at] as string;
    if (token.startsWith(')')) break;
    reader.at += 1;
    if (token === '|') commands.push([]);
    else (commands.at(-1) as Operand[]).push(token === '(' ? readGroup(reader) : readOperand(token));
  }
  if (commands.some((command) => command.length === 0)) throw bad('missing value for command');
  return { declares, assigns, commands };
}

function readGroup(reader: Reader): Operand {
  const pipe = readPipeline(reader);
  const close = reader.tokens[reader.at];
  if (close === undefined) throw bad('unclosed left paren');
  reader.at += 1;
  return { kind: 'group', pipe, names: close.slice(1).split('.').filter(Boolean) };
}

const CONSTANTS: Record<string, boolean | null> = { true: true, false: false, nil: null };

function readOperand(token: string): Operand {
  if (token.startsWith('.')) return { kind: 'field', names: token.split('.').filter(Boolean) };
  if (token.startsWith('$')) {
    const [name = '$', ...names] = token.split('.');
    return { kind: 'variable', name, names };
  }
  if (token.startsWith('`')) return { kind: 'literal', value: token.slice(1, -1) };
  if (token.startsWith('"')) return { kind: 'literal', value: unquote(token) };
  if (token.startsWith("'"))
    return { kind: 'literal', value: unquote(`"${token.slice(1, -1)}"`).codePointAt(0) as number };
  if (/^[-+]?\d/.test(token)) {
    const value = Number(token);
    if (Number.isNaN(value)) throw bad(`bad number syntax: ${JSON.stringify(token)}`);
    return { kind: 'literal', value };
  }
  if (Object.hasOwn(CONSTANTS, token)) return { kind: 'literal', value: CONSTANTS[token] as boolean | null };
  return { kind: 'function', name: token };
}

/** Go's escapes are JSON's and a few more. */
function unquote(token: string): string {
  const ESCAPES: Record<string, string> = {
    a: '\x07',
    v: '\v',
    "'": "'",
    n: '\n',
    t: '\t',
    r: '\r',
    b: '\b',
    f: '\f',
    '\\': '\\',
    '"': '"',
  };
  return token
    .slice(1, -1)
    .replace(
      /\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/g,
      (_whole, sequence: string) => {
        if (/^[xuU]./.test(sequence)) return String.fromCodePoint(Number.parseInt(sequence.slice(1), 16));
        if (/^[0-7]{3}$/.test(sequence)) return String.fromCharCode(Number.parseInt(sequence, 8));
        const plain = ESCAPES[sequence];
        if (plain === undefined) throw bad(`bad escape \\${sequence}`);
        return plain;
      },
    );
}

export function bad(why: string): UsageError {
  return new UsageError('bad-template', `template: format: ${why}`);
}
