import { SlipwayError } from '../../errors.ts';
import { parseManifest } from '../../image/manifest.ts';
import { formatPlatform, normalizePlatform, type Platform, parsePlatform } from '../../image/platform.ts';
import { formatReference } from '../../image/reference.ts';
import { parseImageReference } from '../../transport/references.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { contextOf, resolveName } from '../container/pull.ts';
import { BuildError } from '../error.ts';
import { parseContainerfile } from '../parse/parse.ts';
import { platformArguments } from '../plan/arguments.ts';
import { StageNames } from '../plan/stage-names.ts';
import { splitStages } from '../plan/stages.ts';
import type { BuildOptions } from './options.ts';

/**
 * The platforms that every base image of a build has (`--all-platforms`).
 * @throws BuildError `pull-failed` where a base is no manifest list, or they have none in common
 */
export async function commonBasePlatforms(
  surroundings: BuildSurroundings,
  options: Pick<BuildOptions, 'files' | 'arguments' | 'fromOverride' | 'contexts' | 'buildPlatform'>,
): Promise<Platform[]> {
  const bases = baseImages(options);
  if (bases.length === 0) throw new BuildError('bad-option', 'build uses no non-scratch base images');
  let common: string[] | undefined;
  for (const base of bases) {
    const platforms = await listedPlatforms(surroundings, base);
    common = common === undefined ? platforms : common.filter((platform) => platforms.includes(platform));
  }
  if (!common?.length) throw new BuildError('pull-failed', 'base images have no platforms in common');
  return common.map((text) => parsePlatform(text, options.buildPlatform));
}

function baseImages(options: Parameters<typeof commonBasePlatforms>[1]): string[] {
  const files = options.files.map(({ name, text }) => parseContainerfile(text, { file: name }));
  const builtins = platformArguments(options.buildPlatform, options.buildPlatform, '');
  const stages = splitStages(files, {
    arguments: options.arguments,
    builtins,
    ...(options.fromOverride ? { fromOverride: options.fromOverride } : {}),
  });
  const byName = new StageNames(stages);
  const names = stages.flatMap((stage) => {
    const context = options.contexts.get(stage.base);
    if (context) return context.kind === 'image' ? [context.reference] : [];
    if (stage.base === 'scratch' || byName.find(stage.base, { before: stage.index })) return [];
    return [stage.base];
  });
  return [...new Set(names)];
}

async function listedPlatforms(surroundings: BuildSurroundings, name: string): Promise<string[]> {
  const { candidates } = await resolveName(surroundings, name);
  for (const candidate of candidates) {
    const { tag: _tag, ...digested } = candidate;
    const platforms = await indexPlatforms(
      surroundings,
      formatReference(candidate.digest === undefined ? candidate : digested),
    );
    if (platforms) return platforms;
  }
  throw new BuildError('pull-failed', `base image name "${name}" didn't resolve to a manifest list`);
}

const NO_SYSTEM = new Set(['', 'unknown']);
/** Those that Go's compiler knows: others stand for attestations and the like. */
const ARCHITECTURES = new Set(
  (
    '386 amd64 amd64p32 arm arm64 loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc64 ppc64le riscv ' +
    'riscv64 s390x sparc sparc64 wasm'
  ).split(' '),
);

async function indexPlatforms(surroundings: BuildSurroundings, name: string): Promise<string[] | undefined> {
  try {
    const reference = await parseImageReference(`docker://${name}`, surroundings);
    await using source = await reference.openSource(contextOf(surroundings));
    const { bytes, mediaType } = await source.getManifest();
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind !== 'index') return undefined;
    return manifest.manifests.flatMap(({ platform, artifactType }) =>
      platform && !artifactType && !NO_SYSTEM.has(platform.os) && ARCHITECTURES.has(platform.architecture)
        ? [formatPlatform(normalizePlatform(platform))]
        : [],
    );
  } catch (error) {
    if (error instanceof SlipwayError) return undefined;
    throw error;
  }
}
