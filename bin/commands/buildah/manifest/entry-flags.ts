import type { EntryChanges } from '../../../../build/list/list.ts';
import type { FlagSpec, Flags } from '../../../cli/contract.ts';
import { parseAnnotations } from './annotations.ts';

/** Flags that override what an entry of a list says of its image. */
export const ENTRY_FLAGS: readonly FlagSpec[] = [
  { name: 'annotation', kind: 'slice', usage: 'set `NAME=VALUE` in the entry' },
  { name: 'arch', kind: 'string', usage: 'architecture of the image' },
  { name: 'features', kind: 'slice', usage: 'features of the image' },
  { name: 'os', kind: 'string', usage: 'operating system of the image' },
  { name: 'os-features', kind: 'slice', usage: 'features that the image needs of its operating system' },
  { name: 'os-version', kind: 'string', usage: 'version of the operating system that the image needs' },
  { name: 'variant', kind: 'string', usage: "variant of the image's architecture" },
];

export function entryChanges(flags: Flags): EntryChanges {
  const annotations = flags.list('annotation');
  return {
    os: flags.string('os') || undefined,
    architecture: flags.string('arch') || undefined,
    variant: flags.string('variant') || undefined,
    osVersion: flags.string('os-version') || undefined,
    osFeatures: flags.list('os-features'),
    features: flags.list('features'),
    ...(annotations.length ? { annotations: parseAnnotations(annotations) } : {}),
  };
}
