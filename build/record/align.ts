import type { StepInputs } from '../exec/step-inputs.ts';

/** A step with what stood in its place in the build before. */
export interface Aligned {
  readonly step: StepInputs;
  /** Absent: the instruction is new. */
  readonly before?: StepInputs;
  /** Steps of the build before that stood in front of it, and are gone. */
  readonly gone: readonly StepInputs[];
  readonly isLast: boolean;
  readonly wasLast: boolean;
}

/**
 * Pairs the steps of a stage with those of the build before: the same ones at the beginning and at the end, and those
 * between one after the other, so that a step that was put in or taken out makes no other one look changed.
 */
export function align(steps: readonly StepInputs[], before: readonly StepInputs[]): Aligned[] {
  const start = commonStart(steps, before);
  const end = commonEnd(steps.slice(start), before.slice(start));
  const [stepsBetween, beforeBetween] = [steps.length - end, before.length - end];
  return steps.map((step, at) => {
    const isAtEnd = at >= stepsBetween;
    const from = isAtEnd ? at - stepsBetween + beforeBetween : at;
    const pair = isAtEnd || at < beforeBetween ? before[from] : undefined;
    const gone = at === stepsBetween ? before.slice(Math.max(start, stepsBetween), beforeBetween) : [];
    const [isLast, wasLast] = [step === steps.at(-1), pair === before.at(-1)];
    return { step, ...(pair ? { before: pair } : {}), gone, isLast, wasLast };
  });
}

/** A step is the same by what is written; the first one is FROM, and always has its like. */
function isSame(a: StepInputs | undefined, b: StepInputs | undefined): boolean {
  if (!a || !b) return false;
  if (a.baseImage !== undefined || b.baseImage !== undefined)
    return a.baseImage !== undefined && b.baseImage !== undefined;
  return writtenOf(a) === writtenOf(b) && a.flag === b.flag;
}

export function writtenOf({ instruction, text }: StepInputs): string {
  return instruction ?? text;
}

function commonStart(a: readonly StepInputs[], b: readonly StepInputs[]): number {
  let count = 0;
  while (isSame(a[count], b[count])) count += 1;
  return count;
}

function commonEnd(a: readonly StepInputs[], b: readonly StepInputs[]): number {
  let count = 0;
  while (isSame(a.at(-1 - count), b.at(-1 - count))) count += 1;
  return count;
}
