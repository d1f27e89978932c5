import type { Digests } from '../exec/step-inputs.ts';

/** Names that came, went, or stand for something else. */
export interface Compared {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

export function compare(before: Digests, after: Digests): Compared {
  const [was, is] = [new Map(before), new Map(after)];
  return {
    added: [...is.keys()].filter((key) => !was.has(key)),
    changed: [...is].filter(([key, value]) => was.has(key) && was.get(key) !== value).map(([key]) => key),
    removed: [...was.keys()].filter((key) => !is.has(key)),
  };
}
