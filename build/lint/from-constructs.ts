import type { FromInstruction } from '../parse/instruction.ts';
import { no, type Use } from './construct.ts';

const TRANSPORT =
  /^(oci|oci-archive|docker-archive|dir|docker|containers-storage|docker-daemon|sif|tarball):(?!\d+\/)/;

/** What FROM uses beyond an image's name. */
export function fromConstructs(from: FromInstruction): readonly Use[] {
  const { line } = from.position;
  const uses: Use[] = [];
  if (from.platform !== undefined) uses.push({ what: 'FROM --platform', line });
  if (from.after !== undefined)
    uses.push({ what: 'FROM --after', line, verdicts: { buildkit: no('it has no such flag') } });
  const transport = TRANSPORT.exec(from.image)?.[1];
  if (transport !== undefined)
    uses.push({
      what: `FROM ${transport}:`,
      line,
      verdicts: {
        buildkit: no('it takes images of registries only, unless a named context replaces this one'),
      },
    });
  const { stageName } = from;
  if (stageName !== undefined && !/^[a-z][a-z0-9-_.]*$/.test(stageName.toLowerCase()))
    uses.push({
      what: `stage name ${stageName}`,
      line,
      verdicts: {
        buildkit: no(
          'a stage name begins with a letter and has letters, digits, dots, hyphens and underscores',
        ),
      },
    });
  return uses;
}
