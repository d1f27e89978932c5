import { BuildError } from '../error.ts';

/**
 * Splits as mattn/go-shellwords does by default: quotes and backslashes, no variables.
 * @throws BuildError `bad-option` where a quote has no end
 */
export function shellWords(text: string): string[] {
  const words: string[] = [];
  let word = '';
  let inWord = false;
  let quote = '';
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] as string;
    if (char === '\\' && quote !== "'") {
      at += 1;
      word += text[at] ?? '';
      inWord = true;
    } else if (quote) {
      if (char === quote) quote = '';
      else word += char;
    } else if (char === '"' || char === "'") {
      quote = char;
      inWord = true;
    } else if (/\s/.test(char)) {
      if (inWord) words.push(word);
      word = '';
      inWord = false;
    } else {
      word += char;
      inWord = true;
    }
  }
  if (quote) throw new BuildError('bad-option', 'invalid command line string');
  if (inWord) words.push(word);
  return words;
}
