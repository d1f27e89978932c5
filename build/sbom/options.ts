import { BuildError } from '../error.ts';

export type MergeStrategy =
  | 'cat'
  | 'merge-cyclonedx-by-component-name-and-version'
  | 'merge-spdx-by-package-name-and-versioninfo';

/** How the files of an image are listed by a scanner, and where the lists go. */
export interface SbomOptions {
  readonly image: string;
  /** With `{ROOTFS}`, `{CONTEXT}` and `{OUTPUT}` for paths. */
  readonly commands: readonly string[];
  readonly mergeStrategy: MergeStrategy;
  /** Host directories for `{CONTEXT}`. */
  readonly contextDirectories: readonly string[];
  /** Host files; empty: none. */
  readonly output: string;
  readonly purlOutput: string;
  /** Paths in the image; empty: none. */
  readonly imageOutput: string;
  readonly imagePurlOutput: string;
}

interface Preset {
  readonly image: string;
  readonly commands: readonly string[];
  readonly mergeStrategy: MergeStrategy;
}

const CYCLONEDX = 'merge-cyclonedx-by-component-name-and-version';
const SPDX = 'merge-spdx-by-package-name-and-versioninfo';

function syft(format: string, mergeStrategy: MergeStrategy): Preset {
  const command = (what: string) => `/syft scan -q dir:{${what}} --output ${format}={OUTPUT}`;
  return { image: 'ghcr.io/anchore/syft', commands: [command('ROOTFS'), command('CONTEXT')], mergeStrategy };
}

function trivy(format: string, mergeStrategy: MergeStrategy): Preset {
  const command = (what: string) => `trivy filesystem -q {${what}} --format ${format} --output {OUTPUT}`;
  return {
    image: 'ghcr.io/aquasecurity/trivy',
    commands: [command('ROOTFS'), command('CONTEXT')],
    mergeStrategy,
  };
}

/** The values of `--sbom`, as Buildah 1.44 defines them. */
const PRESETS: Readonly<Record<string, Preset>> = {
  '': syft('cyclonedx-json', CYCLONEDX),
  syft: syft('cyclonedx-json', CYCLONEDX),
  'syft-cyclonedx': syft('cyclonedx-json', CYCLONEDX),
  'syft-spdx': syft('spdx-json', SPDX),
  trivy: trivy('cyclonedx', CYCLONEDX),
  'trivy-cyclonedx': trivy('cyclonedx', CYCLONEDX),
  'trivy-spdx': trivy('spdx-json', SPDX),
};

/** What the flags say, before it is checked. */
export interface SbomFlags extends Omit<SbomOptions, 'mergeStrategy'> {
  readonly preset: string;
  readonly mergeStrategy: string;
}

/** @throws BuildError `bad-option` */
export function sbomOptions(flags: SbomFlags): SbomOptions {
  const { preset: name, ...given } = flags;
  const preset = Object.hasOwn(PRESETS, name) ? PRESETS[name] : undefined;
  if (!preset)
    throw new BuildError('bad-option', `parsing --sbom flag: unrecognized preset name "${name}"`, {
      hint: `presets are ${Object.keys(PRESETS).filter(Boolean).join(', ')}`,
    });
  const own = given.image !== '' || given.commands.length > 0 || given.mergeStrategy !== '';
  const options = { ...given, ...(own ? {} : preset) };
  if (options.image === '' || options.commands.length === 0)
    throw new BuildError(
      'bad-option',
      'sbom configuration missing one or more of ("--sbom-scanner-image" or "--sbom-scanner-command")',
    );
  if (![options.output, options.imageOutput, options.purlOutput, options.imagePurlOutput].some(Boolean))
    throw new BuildError(
      'bad-option',
      'sbom configuration missing one or more of ("--sbom-output", "--sbom-image-output", "--sbom-purl-output" or "--sbom-image-purl-output")',
    );
  if (options.commands.length > 1 && options.mergeStrategy === '')
    throw new BuildError(
      'bad-option',
      'sbom configuration included multiple "--sbom-scanner-command" values but no "--sbom-merge-strategy" value',
    );
  if (!options.commands.some((command) => /\{(?:ROOTFS|CONTEXT)\}/.test(command)))
    throw new BuildError('bad-option', 'no "--sbom-scanner-command" would scan anything', {
      hint: 'a command says what it scans by {ROOTFS} or {CONTEXT}',
    });
  return { ...options, mergeStrategy: checkedStrategy(options.mergeStrategy) };
}

function checkedStrategy(text: string): MergeStrategy {
  if (text === 'cat' || text === CYCLONEDX || text === SPDX) return text;
  throw new BuildError('bad-option', `sbom arguments included unrecognized merge strategy "${text}"`);
}
