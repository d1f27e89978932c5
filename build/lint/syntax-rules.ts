import type { ArgInstruction, FromInstruction, Instruction } from '../parse/instruction.ts';
import { plainWords, splitFlags } from '../parse/words.ts';
import type { Findings } from './findings.ts';

/** The rules that look at one instruction alone: they hold for a file that does not parse as a whole, too. */
export function checkSyntax(instruction: Instruction, findings: Findings): void {
  const { position, emptyLine: line } = instruction;
  if (line !== undefined)
    findings.add(
      'NoEmptyContinuation',
      // BuildKit finds it before it knows what a comment above the instruction skips.
      { position: { ...position, line, endLine: line }, comments: [] },
      `an empty line stands inside the instruction that begins in line ${position.line}`,
    );
  if (instruction.kind === 'maintainer')
    findings.add(
      'MaintainerDeprecated',
      instruction,
      'MAINTAINER is deprecated: write LABEL org.opencontainers.image.authors="…" instead',
    );
  if (instruction.kind === 'from') checkFrom(instruction, findings);
  if (instruction.kind === 'arg') describesItself(instruction, argumentNames(instruction), 'ARG', findings);
}

function argumentNames(instruction: ArgInstruction): string[] {
  return instruction.words.map((word) => word.split('=', 1)[0] as string);
}

function checkFrom(from: FromInstruction, findings: Findings): void {
  const { stageName, keyword } = from;
  if (stageName === undefined) return;
  if (stageName !== stageName.toLowerCase())
    findings.add('StageNameCasing', from, `stage name ${quote(stageName)} is not in lower case`);
  const as = plainWords(splitFlags(from.original.trimStart().slice(keyword.length)).rest)[1] as string;
  const lower = keyword === keyword.toLowerCase();
  const upper = keyword === keyword.toUpperCase();
  if ((lower && as !== as.toLowerCase()) || (upper && as !== as.toUpperCase()))
    findings.add('FromAsCasing', from, `${as} is not written in the case of ${keyword}`);
  describesItself(from, [stageName.toLowerCase()], 'FROM', findings);
}

function describesItself(
  instruction: Instruction,
  names: readonly string[],
  what: string,
  findings: Findings,
): void {
  const comment = instruction.comments.at(-1);
  if (comment === undefined || names.includes(comment.split(' ', 1)[0] as string)) return;
  const example = names.length > 1 ? '<name>' : names[0];
  findings.add(
    'InvalidDefinitionDescription',
    instruction,
    `the comment above ${what} does not begin with its name: write "# ${example} <description>", or leave a line that is # alone between them`,
  );
}

function quote(text: string): string {
  return JSON.stringify(text);
}
