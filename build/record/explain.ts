import type { StepInputs } from '../exec/step-inputs.ts';
import type { BuildRecord, Explanation } from './record.ts';

/** Names that are listed of each kind of change. */
const LIST_LIMIT = 10;

/** Why the steps of a build that were not found in the cache had to be executed. */
export function explain(steps: readonly StepInputs[], before: BuildRecord): Explanation[] {
  const earlier = new Map(before.steps.map((step) => [placeOf(step), step]));
  const firstRebuilt = new Map<string, number>();
  const explanations: Explanation[] = [];
  for (const step of [...steps].sort((a, b) => a.stage - b.stage || a.step - b.step)) {
    const reasons = reasonsOf(step, earlier.get(placeOf(step)), firstRebuilt.get(step.stageName));
    const isBaseChange = step.baseImage !== undefined && reasons.length > 0;
    if (step.isCached && !isBaseChange) continue;
    if (!firstRebuilt.has(step.stageName)) firstRebuilt.set(step.stageName, step.step);
    const { stage, stageName, text } = step;
    explanations.push({ stage, stageName, step: step.step, text, reasons });
  }
  return explanations;
}

/** Stages are the same by their names, which numbers are where they have none. */
function placeOf({ stageName, step }: StepInputs): string {
  return `${stageName}\0${step}`;
}

function reasonsOf(
  step: StepInputs,
  before: StepInputs | undefined,
  firstRebuilt: number | undefined,
): string[] {
  if (step.baseImage !== undefined) return baseReasons(step, before);
  if (!before) return ['the step was not there, or not reached, in the build before'];
  const own = [
    ...(before.text === step.text ? [] : [`the instruction changed: it was ${before.text}`]),
    ...argumentReasons(step, before),
    ...mountReasons(step, before),
    ...fileReasons(step, before),
  ];
  if (firstRebuilt !== undefined) own.push(`it stands on step ${firstRebuilt}, which changed`);
  if (before.hasFailed) own.push('it failed in the build before');
  if (own.length > 0) return own;
  return ['none of its inputs changed: the image of the build before is gone, or the cache was not used'];
}

function baseReasons(step: StepInputs, before: StepInputs | undefined): string[] {
  if (!before || before.baseImage === step.baseImage) return [];
  if (before.text !== step.text) return [`the base changed: it was ${before.text}`];
  return [`the base image changed: ${shortId(before.baseImage)} is now ${shortId(step.baseImage)}`];
}

function shortId(id: string | undefined): string {
  return id ? id.slice(0, 12) : 'scratch';
}

function argumentReasons(step: StepInputs, before: StepInputs): string[] {
  const { added, changed, removed } = compare(before.arguments, step.arguments);
  return [
    ...added.map((name) => `the argument ${name} is new`),
    ...changed.map((name) => `the argument ${name} changed`),
    ...removed.map((name) => `the argument ${name} is gone`),
  ];
}

function mountReasons(step: StepInputs, before: StepInputs): string[] {
  const { added, changed, removed } = compare(before.mounts, step.mounts);
  return [
    ...added.map((text) => `the mount ${text} is new`),
    ...changed.map((text) => `what the mount ${text} shows changed`),
    ...removed.map((text) => `the mount ${text} is gone`),
  ];
}

function fileReasons(step: StepInputs, before: StepInputs): string[] {
  if (!step.files || !before.files) return ['it brings too many files to say which changed'];
  const { added, changed, removed } = compare(before.files, step.files);
  const [was, is] = [new Map(before.files), new Map(step.files)];
  return [
    ...listed('changed', changed, (path) => ` (${fileChange(was.get(path) ?? '', is.get(path) ?? '')})`),
    ...listed('added', added),
    ...listed('removed', removed),
  ];
}

function listed(what: string, paths: readonly string[], note = (_path: string) => ''): string[] {
  const lines = paths.slice(0, LIST_LIMIT).map((path) => `${what}: ${path}${note(path)}`);
  const more = paths.length - lines.length;
  return more > 0 ? [...lines, `${what}: ${more} more`] : lines;
}

const FIELDS = ['type', 'mode', 'owner', 'content', 'content'];

/** Which fields of a file's state differ. */
function fileChange(was: string, is: string): string {
  const [a, b] = [was.split(' '), is.split(' ')];
  return [...new Set(FIELDS.filter((_, at) => a[at] !== b[at]))].join(', ');
}

type Pairs = readonly (readonly [string, string])[];

function compare(before: Pairs, after: Pairs) {
  const [was, is] = [new Map(before), new Map(after)];
  return {
    added: [...is.keys()].filter((key) => !was.has(key)),
    changed: [...is].filter(([key, value]) => was.has(key) && was.get(key) !== value).map(([key]) => key),
    removed: [...was.keys()].filter((key) => !is.has(key)),
  };
}
