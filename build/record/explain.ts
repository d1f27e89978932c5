import type { Digests, Passed, StepInputs } from '../exec/step-inputs.ts';
import { type Aligned, align, writtenOf } from './align.ts';
import { compare } from './compare.ts';
import { fileReasons } from './file-reasons.ts';
import type { BuildRecord, Explanation } from './record.ts';

/** What the explanations of one build have in common. */
interface Surroundings {
  readonly before: BuildRecord;
  readonly isThere: (imageId: string) => boolean;
}

/**
 * Why the steps of a build that were not found in the cache had to be executed.
 * @param isThere whether an image of the build before was still in the store when this one began
 */
export function explain(
  steps: readonly StepInputs[],
  before: BuildRecord,
  isThere: (imageId: string) => boolean,
): Explanation[] {
  const earlier = byStage(before.steps);
  return [...byStage(steps)]
    .sort(([a], [b]) => a - b)
    .flatMap(([index, own]) => {
      const like = stageLike(earlier, index, own[0]?.stageName ?? '');
      return explainStage(align(own, like), { before, isThere }, like.length > 0);
    });
}

function explainStage(
  steps: readonly Aligned[],
  surroundings: Surroundings,
  wasBuilt: boolean,
): Explanation[] {
  let firstRebuilt: number | undefined;
  const explanations: Explanation[] = [];
  for (const aligned of steps) {
    const { stage, stageName, step, text, isCached, baseImage } = aligned.step;
    const reasons = wasBuilt
      ? reasonsOf(aligned, surroundings, firstRebuilt)
      : ['the stage was not built, or had another name, in the build before'];
    if (isCached && (baseImage === undefined || reasons.length === 0)) continue;
    firstRebuilt ??= step;
    explanations.push({ stage, stageName, step, text, reasons });
  }
  return explanations;
}

function byStage(steps: readonly StepInputs[]): Map<number, StepInputs[]> {
  const sorted = [...steps].sort((a, b) => a.stage - b.stage || a.step - b.step);
  return Map.groupBy(sorted, ({ stage }) => stage);
}

/** Stages are the same by their names; of two with one name, by their place. */
function stageLike(
  earlier: ReadonlyMap<number, readonly StepInputs[]>,
  index: number,
  name: string,
): readonly StepInputs[] {
  const named = [...earlier].filter(([, steps]) => steps[0]?.stageName === name);
  return (named.length === 1 ? named[0]?.[1] : earlier.get(index)) ?? [];
}

function reasonsOf(aligned: Aligned, surroundings: Surroundings, firstRebuilt: number | undefined): string[] {
  const { step, before } = aligned;
  if (step.baseImage !== undefined) return baseReasons(step, before);
  const own = before ? changes(step, before) : [newReason(step, surroundings.before)];
  if (step.passed) return [PASSED[step.passed], ...own];
  own.push(
    ...aligned.gone.map(({ flag, text }) =>
      flag ? `${flag} is gone` : `the step before it is gone: ${text}`,
    ),
  );
  if (before && aligned.isLast && !aligned.wasLast) own.push('it is the last step now');
  if (firstRebuilt !== undefined) own.push(`it stands on step ${firstRebuilt}, which changed`);
  if (before?.hasFailed) own.push('it failed in the build before');
  if (own.length > 0) return own;
  const isGone = before?.imageId !== undefined && !surroundings.isThere(before.imageId);
  return [isGone ? 'none of its inputs changed: the image of the build before is gone' : NOT_FOUND];
}

const NOT_FOUND = 'none of its inputs changed: no image that was there had its history and configuration';

const PASSED: Readonly<Record<Passed, string>> = {
  'no-cache': 'the cache was not used: --no-cache, or --cache-ttl of 0',
  expired: 'the image of an earlier build is older than --cache-ttl allows',
  'fresh-stage': 'a stage that it has mounted was built anew',
};

function newReason({ flag }: StepInputs, { imageId }: BuildRecord): string {
  if (flag) return `${flag} is new`;
  return imageId ? 'the instruction is new' : 'the build before failed and did not reach it';
}

function baseReasons(step: StepInputs, before: StepInputs | undefined): string[] {
  if (!before || before.baseImage === step.baseImage) return [];
  if (step.isBaseStage && before.isBaseStage) return ['the stage that it stands on was built anew'];
  if (before.text !== step.text) return [`the base changed: it was ${before.text}`];
  return [`the base image changed: ${shortId(before.baseImage)} is now ${shortId(step.baseImage)}`];
}

function shortId(id: string | undefined): string {
  return id ? id.slice(0, 12) : 'scratch';
}

function changes(step: StepInputs, before: StepInputs): string[] {
  const files = fileReasons(step, before);
  return [
    ...instructionReasons(step, before),
    ...named('the argument ', before.arguments, step.arguments),
    ...mountReasons(step, before),
    ...(before.builder && step.builder && before.builder !== step.builder
      ? [`the builder changed: it was ${before.builder}`]
      : []),
    // Rules that kept the same files out have changed nothing.
    ...named('', before.others, step.others).filter(
      (text) => files.length > 0 || !text.startsWith('the ignore file '),
    ),
    ...files,
  ];
}

function instructionReasons(step: StepInputs, before: StepInputs): string[] {
  if (step.flag && step.flag === before.flag)
    return step.text === before.text ? [] : [`${step.flag} changed`];
  return writtenOf(before) === writtenOf(step) ? [] : [`the instruction changed: it was ${before.text}`];
}

function mountReasons(step: StepInputs, before: StepInputs): string[] {
  const { added, changed, removed } = compare(before.mounts, step.mounts);
  return [
    ...added.map((text) => `the mount ${text} is new`),
    ...changed.map((text) => `what the mount ${text} shows changed`),
    ...removed.map((text) => `the mount ${text} is gone`),
  ];
}

function named(what: string, before: Digests, after: Digests): string[] {
  const { added, changed, removed } = compare(before, after);
  return [
    ...added.map((name) => `${what}${name} is new`),
    ...changed.map((name) => `${what}${name} changed`),
    ...removed.map((name) => `${what}${name} is gone`),
  ];
}
