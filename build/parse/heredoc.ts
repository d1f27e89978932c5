import { BuildError } from '../error.ts';
import { type ExpandOptions, expandWord, expandWords, type Variables } from './expand.ts';

/** A here-document of RUN, COPY or ADD. */
export interface Heredoc {
  /** The word that ends it, and the file name where it becomes a file. */
  readonly name: string;
  /** The lines, each with its newline; leading tabs still there when {@link chomp}. */
  readonly content: string;
  /** False where the word was quoted: no variables inside. */
  readonly expand: boolean;
  /** `<<-`: leading tabs go. */
  readonly chomp: boolean;
  readonly fileDescriptor: number;
}

const HEREDOC = /^(\d*)<<(-?)\s*([^<]*)$/;

/** What a word such as `<<EOF`, `3<<-"X"` announces; undefined where it is no heredoc. */
export function parseHeredocWord(word: string): Omit<Heredoc, 'content'> | undefined {
  const match = HEREDOC.exec(word);
  const rest = match?.[3];
  if (!match || !rest) return undefined;
  const unset = () => undefined;
  let words: string[];
  let raw: string[];
  try {
    words = expandWords(rest, unset, { keepUnset: true });
    raw = expandWords(rest, unset, { keepUnset: true, rawQuotes: true });
  } catch (error) {
    if (error instanceof BuildError) return undefined;
    throw error;
  }
  if (words.length !== 1 || raw.length !== 1) return undefined;
  return {
    name: words[0] as string,
    expand: countQuotes(words[0] as string) === countQuotes(raw[0] as string),
    chomp: match[2] === '-',
    fileDescriptor: match[1] === '' ? 0 : Number(match[1]),
  };
}

/** The heredocs that a logical line announces, in order. A line whose quotes do not close announces none. */
export function heredocsOfLine(line: string): Omit<Heredoc, 'content'>[] {
  if (!line.includes('<<')) return [];
  let words: string[];
  try {
    words = expandWords(line, () => undefined, { rawQuotes: true, rawEscapes: true, keepUnset: true });
  } catch (error) {
    if (error instanceof BuildError) return [];
    throw error;
  }
  return words.flatMap((word) => parseHeredocWord(word) ?? []);
}

/** The content as `<<-` wants it: no leading tabs. */
export function heredocText(heredoc: Heredoc): string {
  return heredoc.chomp ? heredoc.content.replace(/^\t+/gm, '') : heredoc.content;
}

/** As long as a Containerfile may be. */
const LIMIT_TEXT = 16 * 1024 * 1024;

/**
 * Replaces variables in a heredoc's text. Single quotes keep what they enclose as it is, as in Buildah; where they do
 * not all close, which Buildah refuses, they mean nothing, as in BuildKit.
 * @throws BuildError `syntax`
 */
export function expandHeredoc(
  text: string,
  variables: Variables,
  options: Pick<ExpandOptions, 'escape' | 'onLookup'> = {},
): string {
  const raw = { ...options, inHeredoc: true, rawQuotes: true, rawEscapes: true, limit: LIMIT_TEXT };
  try {
    return expandWord(text, variables, raw);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return expandWord(text, variables, { ...raw, plainQuotes: true });
  }
}

function countQuotes(text: string): number {
  return text.length - text.replaceAll(/['"]/g, '').length;
}
