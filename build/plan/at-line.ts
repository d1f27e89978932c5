import { BuildError } from '../error.ts';
import type { Instruction } from '../parse/instruction.ts';

/** Does something for an instruction; an error that does not say where it happened gets its file and line. */
export function atLine<T>(instruction: Instruction, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof BuildError) || error.facts.line !== undefined) throw error;
    const { file, line } = instruction.position;
    throw new BuildError(error.code, `${file}:${line}: ${error.message}`, {
      facts: { path: file, line },
      ...(error.hint ? { hint: error.hint } : {}),
      cause: error,
    });
  }
}
