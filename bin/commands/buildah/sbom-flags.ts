import { resolve } from 'node:path';
import { type SbomOptions, sbomOptions } from '../../../build/sbom/options.ts';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';

/** Flags of `build` and `commit` about software bills of materials. */
export const SBOM_FLAGS: readonly FlagSpec[] = [
  {
    name: 'sbom',
    kind: 'string',
    usage: 'list the files of the image by this `PRESET`: syft, trivy and variants',
  },
  { name: 'sbom-scanner-image', kind: 'string', usage: 'run the scanner of this `IMAGE`' },
  {
    name: 'sbom-scanner-command',
    kind: 'array',
    usage: 'run this `COMMAND` in the scanner image, with {ROOTFS}, {CONTEXT} and {OUTPUT} for paths',
  },
  {
    name: 'sbom-merge-strategy',
    kind: 'string',
    usage:
      'how to make one of several lists: cat, merge-cyclonedx-by-component-name-and-version or merge-spdx-by-package-name-and-versioninfo',
  },
  { name: 'sbom-output', kind: 'string', usage: 'write the list to this `FILE`' },
  { name: 'sbom-image-output', kind: 'string', usage: 'write the list to this `PATH` in the image' },
  { name: 'sbom-purl-output', kind: 'string', usage: 'write the package URLs to this `FILE`' },
  {
    name: 'sbom-image-purl-output',
    kind: 'string',
    usage: 'write the package URLs to this `PATH` in the image',
  },
];

/** Reads {@link SBOM_FLAGS}; undefined where none was given. @throws BuildError `bad-option` */
export function readSbomFlags(
  { flags, io }: CommandContext,
  contextDirectories: readonly string[],
): SbomOptions | undefined {
  if (!SBOM_FLAGS.some((flag) => flags.changed(flag.name))) return undefined;
  const file = (name: string) => {
    const path = flags.string(name);
    return path === '' ? '' : resolve(io.workingDirectory, path);
  };
  return sbomOptions({
    preset: flags.string('sbom'),
    image: flags.string('sbom-scanner-image'),
    commands: flags.list('sbom-scanner-command'),
    mergeStrategy: flags.string('sbom-merge-strategy'),
    contextDirectories,
    output: file('sbom-output'),
    purlOutput: file('sbom-purl-output'),
    imageOutput: flags.string('sbom-image-output'),
    imagePurlOutput: flags.string('sbom-image-purl-output'),
  });
}
