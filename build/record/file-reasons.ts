import type { StepInputs } from '../exec/step-inputs.ts';
import { compare } from './compare.ts';

/** Names that are listed of each kind of change. */
const LIST_LIMIT = 10;

/** Which files that a step brings are other ones than before, and in what. */
export function fileReasons(step: StepInputs, before: StepInputs): string[] {
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
  const lines = paths.slice(0, LIST_LIMIT).map((path) => `${what}: ${path || '/'}${note(path)}`);
  const more = paths.length - lines.length;
  return more > 0 ? [...lines, `${what}: ${more} more`] : lines;
}

const FIELDS = ['type', 'mode', 'owner', 'content', 'content', 'attributes'];

/** Which fields of a file's state differ. */
function fileChange(was: string, is: string): string {
  const [a, b] = [was.split(' '), is.split(' ')];
  const differing = FIELDS.filter((_, at) => a[at] !== b[at]);
  if (differing.includes('type')) return 'type';
  const names = new Set(differing);
  if (a[0] === 'symlink' && names.delete('content')) names.add('target');
  // The digest of a file's bytes covers its attributes.
  if (a[3] === b[3] && names.has('attributes') && names.delete('content')) names.add('perhaps content');
  return [...names].join(', ');
}
