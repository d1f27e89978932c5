import type { Instruction } from '../parse/instruction.ts';
import { no, type Use } from './construct.ts';

/** Flags that may be given more than once everywhere. */
const LISTS = ['mount', 'device', 'exclude'];

/** Flags given twice or without a value, of whatever instruction. */
export function flagConstructs({ kind, flags, position }: Instruction): readonly Use[] {
  const { line } = position;
  const seen = new Set<string>();
  return flags.flatMap((flag) => {
    const name = flag.slice(2).split('=', 1)[0] as string;
    const uses: Use[] = [];
    if (seen.has(name) && !LISTS.includes(name))
      uses.push({ what: `--${name} given twice`, line, verdicts: { buildkit: no('it takes a flag once') } });
    if (flag.endsWith('=') && kind !== 'healthcheck')
      uses.push({ what: `--${name} without a value`, line, verdicts: { buildah: no('it wants a value') } });
    seen.add(name);
    return uses;
  });
}
