import type { FromInstruction, Instruction } from '../parse/instruction.ts';
import type { Findings } from './findings.ts';

const RESERVED = ['scratch', 'context'];

/** The rules about names and spelling that look at the whole file. */
export function checkFile(instructions: readonly Instruction[], findings: Findings): void {
  checkStageNames(
    instructions.filter((instruction) => instruction.kind === 'from'),
    findings,
  );
  checkCasing(instructions, findings);
}

function checkStageNames(stages: readonly FromInstruction[], findings: Findings): void {
  const seen = new Map<string, number>();
  for (const from of stages) {
    const name = from.stageName?.toLowerCase();
    if (name === undefined) continue;
    if (RESERVED.includes(name))
      findings.add(
        'ReservedStageName',
        from,
        `a stage is called ${name}, which means something else in FROM and COPY`,
      );
    const before = seen.get(name);
    if (before !== undefined)
      findings.add('DuplicateStageName', from, `a stage of line ${before} is called ${name} already`);
    seen.set(name, before ?? from.position.line);
  }
}

/** Instructions of stages vote; mixed case never wins, and upper case wins a draw. */
function checkCasing(instructions: readonly Instruction[], findings: Findings): void {
  const firstFrom = instructions.findIndex(({ kind }) => kind === 'from');
  if (firstFrom < 0) return;
  const voters = instructions.slice(firstFrom);
  const lower = voters.filter(({ keyword }) => keyword === keyword.toLowerCase()).length;
  const upper = voters.filter(({ keyword }) => keyword === keyword.toUpperCase()).length;
  const wantsLower = lower > upper;
  for (const instruction of voters) {
    const { keyword } = instruction;
    const wanted = wantsLower ? keyword.toLowerCase() : keyword.toUpperCase();
    if (keyword !== wanted)
      findings.add(
        'ConsistentInstructionCasing',
        instruction,
        `${keyword} is not in ${wantsLower ? 'lower' : 'upper'} case, as most instructions of this file are`,
      );
  }
}
