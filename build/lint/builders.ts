import type { Instruction } from '../parse/instruction.ts';
import type { ScannedFile } from '../parse/scan.ts';
import { type Construct, differs, no, type Use } from './construct.ts';
import { copyConstructs } from './copy-constructs.ts';
import { fileConstructs } from './file-constructs.ts';
import { flagConstructs } from './flag-constructs.ts';
import { fromConstructs } from './from-constructs.ts';
import { runConstructs } from './run-constructs.ts';
import { stageConstructs } from './stage-constructs.ts';
import { substitutionConstructs } from './substitution-constructs.ts';

/** What a file uses beyond the plainest instructions, each thing once, by its first line. */
export function constructsOf(
  text: string,
  file: string,
  scanned: ScannedFile,
  instructions: readonly Instruction[],
): readonly Construct[] {
  const uses = [
    ...fileConstructs(text, file, scanned),
    ...instructions.flatMap(flagConstructs),
    ...instructions.flatMap(constructsOfInstruction),
    ...stageConstructs(instructions),
  ];
  const found = new Map<string, Construct>();
  for (const { what, line, verdicts = {} } of uses.toSorted((a, b) => a.line - b.line)) {
    const key = JSON.stringify([what, verdicts]);
    const before = found.get(key);
    if (before?.lines.includes(line)) continue;
    found.set(key, { what, lines: [...(before?.lines ?? []), line], verdicts });
  }
  return [...found.values()];
}

function constructsOfInstruction(instruction: Instruction): readonly Use[] {
  const { line } = instruction.position;
  const substitutions = substitutionConstructs(instruction);
  switch (instruction.kind) {
    case 'from':
      return [...fromConstructs(instruction), ...substitutions];
    case 'copy':
    case 'add':
      return [...copyConstructs(instruction), ...substitutions];
    case 'run':
      return runConstructs(instruction);
    case 'arg':
      return [...argumentConstructs(instruction.words, line), ...substitutions];
    case 'onbuild':
      return [
        ...constructsOfInstruction(instruction.trigger),
        ...(instruction.heredocs.length > 0
          ? [
              {
                what: 'ONBUILD with a heredoc',
                line,
                verdicts: { buildah: differs('it forgets the text of the heredoc') },
              },
            ]
          : []),
      ];
    default:
      return substitutions;
  }
}

function argumentConstructs(words: readonly string[], line: number): readonly Use[] {
  const fixed = words.filter((word) => /^(?:TARGET|BUILD)PLATFORM=/.test(word));
  return [
    ...(words.length > 1 ? [{ what: 'ARG with several names', line }] : []),
    ...fixed.map((word) => ({
      what: `ARG ${word.split('=', 1)[0]} with a default`,
      line,
      verdicts: { buildah: no('it refuses another value for this argument') },
    })),
    ...(words.some((word) => word.split('=', 1)[0] === 'TARGETSTAGE')
      ? [{ what: 'TARGETSTAGE', line, verdicts: { buildah: differs('it leaves this argument unset') } }]
      : []),
  ];
}
