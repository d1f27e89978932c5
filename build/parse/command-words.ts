import { FlagProblem } from './flags.ts';
import type { CommandWords } from './instruction.ts';
import { jsonWords } from './words.ts';

/** Reads a command in exec form where it is a JSON array of strings, else in shell form. @throws FlagProblem */
export function commandWords(text: string): CommandWords {
  const words = jsonWords(text);
  if (words === 'not-strings') throw notStrings();
  if (words) return { form: 'exec', words };
  return { form: 'shell', words: text === '' ? [] : [text] };
}

function notStrings(): FlagProblem {
  return new FlagProblem('when using JSON array syntax, arrays must be comprised of strings only');
}

/** The strings of a JSON array, or what `split` makes of the text. @throws FlagProblem */
export function jsonOr(text: string, split: (text: string) => string[]): string[] {
  const words = jsonWords(text);
  if (words === 'not-strings') throw notStrings();
  return words ?? split(text);
}
