import type { BuildRecord, Explanation } from '../../../build/record/record.ts';
import { plainLine } from '../../cli/build-screen.ts';

/** Why steps of a build were executed, for people: a line for each step, and its reasons below it. */
export function explanationLines({ explanations, steps }: BuildRecord): string[] {
  if (!explanations) return ['no earlier build of this context is known: every step was looked up anew'];
  if (explanations.length === 0) return ['every step came from the cache'];
  const isOneStage = new Set(steps.map(({ stage }) => stage)).size <= 1;
  return explanations.flatMap((explanation) => [
    headline(explanation, isOneStage),
    ...explanation.reasons.map((reason) => `    ${plainLine(reason)}`),
  ]);
}

function headline({ stageName, step, text }: Explanation, isOneStage: boolean): string {
  const stage = isOneStage ? '' : `[${plainLine(stageName)}] `;
  return `${stage}step ${step}: ${plainLine(text.replaceAll('\n', ' '))}`;
}
