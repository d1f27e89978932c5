import { BuildError } from '../error.ts';
import { expandWord, type Variables } from '../parse/expand.ts';
import { expandHeredoc } from '../parse/heredoc.ts';

/** A word with its variables replaced, and the names that were looked up for it. */
export interface Expansion {
  readonly text: string;
  readonly set: ReadonlySet<string>;
  readonly unset: ReadonlySet<string>;
  /** Why it could not be expanded; {@link text} is the word as written then. */
  readonly problem?: BuildError;
}

/** Expands a word and remembers which names it asked for. */
export function expansionOf(
  word: string,
  variables: Variables,
  escapeChar: string,
  options: { readonly heredoc?: boolean } = {},
): Expansion {
  const set = new Set<string>();
  const unset = new Set<string>();
  const onLookup = (name: string, found: boolean) => void (found ? set : unset).add(name);
  const expand = options.heredoc ? expandHeredoc : expandWord;
  try {
    return { text: expand(word, variables, { escape: escapeChar, onLookup }), set, unset };
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    return { text: word, set, unset, problem: error };
  }
}
