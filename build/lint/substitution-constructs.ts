import type { Instruction } from '../parse/instruction.ts';
import { type Builder, differs, no, type Use, type Verdict } from './construct.ts';

/** Forms of `${name…}` that are not read alike everywhere. */
const FORMS: readonly {
  readonly pattern: RegExp;
  readonly what: string;
  readonly verdicts: Partial<Readonly<Record<Builder, Verdict>>>;
}[] = [
  {
    pattern: /\$\{\w+[-+?]/,
    what: 'a substitution ${name-word}, ${name+word} or ${name?word}',
    verdicts: { buildah: no('it knows these with a colon only') },
  },
  {
    pattern: /\$\{\w+:\?/,
    what: 'a substitution ${name:?word}',
    verdicts: { buildah: differs('it takes the word as the value instead of failing') },
  },
  {
    pattern: /\$\{\w+\/[#%]/,
    what: 'a substitution ${name/#prefix/word} or ${name/%suffix/word}',
    verdicts: { buildkit: differs('it looks for the character # or % itself') },
  },
  {
    pattern: /\$\{\w+\/{1,2}(?:[^/\\}]|\\.)+\}/,
    what: 'a substitution ${name/pattern} without a replacement',
    verdicts: { buildkit: no('it wants the second slash') },
  },
  {
    pattern: /\$\{\w+(?:##?|%%?|\/{1,2}[#%]?)[^}]*[*?]/,
    what: 'a substitution by a pattern with * or ?',
    verdicts: { buildah: differs('they match no slash there, and it leaves the ends of a value out') },
  },
  {
    pattern: /\$\{\w+(?:##?|%%?|\/{1,2}[#%]?)(?:[^\\}]|\\.)*\[[^\]}]+\]/,
    what: 'a substitution by a pattern with a set as [a-z]',
    verdicts: { buildkit: differs('a bracket is a character there') },
  },
  {
    pattern: /\$\{\w+(?:##?|%%?|\/{1,2}[#%]?)(?:[^\\/}]|\\[*?\\}/])*\\[^*?\\}/]/,
    what: 'an escape of an ordinary character in a pattern',
    verdicts: { buildkit: no('it takes escapes of special characters alone') },
  },
  {
    pattern: /\$\{\w+\/{1,2}(?:[^\\/}]|\\.)+\/[^}]*\\/,
    what: 'an escape in what replaces a pattern',
    verdicts: { buildkit: differs('the backslash stays') },
  },
  { pattern: /\$\{\w+(?:[#%]|\/{1,2}[^#%/])/, what: 'a substitution by pattern', verdicts: {} },
];

/** Uses of those forms in an instruction that has its variables replaced. */
export function substitutionConstructs({ original, position }: Instruction): readonly Use[] {
  if (!original.includes('${')) return [];
  const line = position.line;
  return FORMS.filter(({ pattern }) => pattern.test(original)).map(({ what, verdicts }) => ({
    what,
    line,
    verdicts,
  }));
}
