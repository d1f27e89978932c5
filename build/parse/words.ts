/** Flags in front of an instruction's arguments, and the rest. Quotes and escapes in a flag are taken away. */
export function splitFlags(text: string): { flags: string[]; rest: string } {
  const flags: string[] = [];
  let at = 0;
  for (;;) {
    while (isSpace(text[at])) at += 1;
    if (!text.startsWith('--', at)) return { flags, rest: text.slice(at) };
    const word = readFlag(text, at);
    at = word.end;
    if (word.text === '--') return { flags, rest: text.slice(at) };
    flags.push(word.text);
  }
}

function readFlag(text: string, start: number): { text: string; end: number } {
  const parts: string[] = [];
  let quote = '';
  let at = start;
  for (; at < text.length; at += 1) {
    const char = text[at] as string;
    if (quote === '' && isSpace(char)) break;
    if (char === quote) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
    else if (char === '\\') {
      at += 1;
      if (at < text.length) parts.push(text[at] as string);
    } else parts.push(char);
  }
  return { text: parts.join(''), end: at };
}

/** Splits at unquoted spaces; quotes and escapes stay for the expansion to remove (ENV, LABEL, ARG). */
export function quotedWords(text: string, escapeChar: string): string[] {
  const words: string[] = [];
  let parts: string[] = [];
  let quote = '';
  let open = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] as string;
    if (quote === '' && isSpace(char)) {
      if (open) words.push(parts.join(''));
      parts = [];
      open = false;
      continue;
    }
    open = true;
    if (char === escapeChar && quote !== "'") {
      if (at + 1 === text.length) break;
      parts.push(char, text[at + 1] as string);
      at += 1;
      continue;
    }
    if (quote === '' && (char === '"' || char === "'")) quote = char;
    else if (char === quote) quote = '';
    parts.push(char);
  }
  if (open && parts.length > 0) words.push(parts.join(''));
  return words;
}

/** Splits at spaces and tabs, quotes mean nothing. */
export function plainWords(text: string): string[] {
  return text.split(/[\t\v\f\r ]+/).filter((word) => word !== '');
}

/**
 * The strings of a JSON array that starts `text`; what stands behind the array is ignored, as Buildah does.
 * Undefined where it is no JSON array, `'not-strings'` where it holds something else.
 */
export function jsonWords(text: string): string[] | undefined | 'not-strings' {
  if (!text.startsWith('[')) return undefined;
  const end = endOfArray(text);
  if (end < 0) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text.slice(0, end));
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  if (!value.every((item): item is string => typeof item === 'string')) return 'not-strings';
  return value.map((item) => item.toWellFormed());
}

function endOfArray(text: string): number {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '"') {
      at = endOfString(text, at);
      if (at < 0) return -1;
    } else if (char === '[' || char === '{') depth += 1;
    else if (char === ']' || char === '}') {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at;
  }
  return -1;
}

function isSpace(char: string | undefined): boolean {
  return char !== undefined && /\s/.test(char);
}
