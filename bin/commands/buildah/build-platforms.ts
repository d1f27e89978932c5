import { buildImage } from '../../../build/exec/build.ts';
import type { BuildOptions, BuildResult } from '../../../build/exec/options.ts';
import { formatPlatform, type Platform, parsePlatform, platformOf } from '../../../image/platform.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { createProgress } from '../../cli/progress.ts';
import { usage } from './arguments.ts';
import { openLog, printsId } from './build-log.ts';
import { addToManifestList, checkListName } from './manifest/add-local.ts';
import type { Session } from './session.ts';

type Base = Omit<BuildOptions, 'platform' | 'platformGiven'>;

/** The first platform's image, and the ids of all. */
export interface PlatformsResult extends BuildResult {
  readonly imageIds: readonly string[];
}

/** Builds for each platform in turn and, with `--manifest`, puts the images into a list. */
export async function runPlatforms(
  context: CommandContext,
  session: Session,
  base: Base,
  platforms: readonly Platform[],
  build: typeof buildImage = buildImage,
): Promise<PlatformsResult> {
  const { flags } = context;
  const host = platformOf(process.platform, process.arch);
  const manifest = flags.string('manifest');
  if (manifest) await checkListName(session, manifest);
  const list = await chosenPlatforms(context, session, base, platforms, host);
  if (list.length > 1) refuseSingleFiles(context);
  const results: BuildResult[] = [];
  for (const platform of list)
    results.push(await runOne(context, session, base, { platform, several: list.length > 1, host }, build));
  if (manifest) for (const { imageId } of results) await addToManifestList(session, manifest, imageId);
  return { ...(results[0] as BuildResult), imageIds: results.map(({ imageId }) => imageId) };
}

async function chosenPlatforms(
  context: CommandContext,
  session: Session,
  base: Base,
  platforms: readonly Platform[],
  host: Platform,
): Promise<readonly (Platform | undefined)[]> {
  if (context.flags.bool('all-platforms')) {
    const { commonBasePlatforms } = await import('../../../build/exec/base-platforms.ts');
    return commonBasePlatforms(session.surroundings, base);
  }
  if (platforms.length > 0) return platforms;
  const argument = base.arguments.get('TARGETPLATFORM');
  return [argument === undefined ? undefined : parsePlatform(argument, host)];
}

async function runOne(
  context: CommandContext,
  session: Session,
  base: Base,
  { platform, several, host }: { platform: Platform | undefined; several: boolean; host: Platform },
  build: typeof buildImage,
): Promise<BuildResult> {
  const chosen = platform ?? host;
  await using resources = new AsyncDisposableStack();
  const log = context.flags.bool('logsplit') ? openLog(context, resources, chosen) : undefined;
  const progress =
    log && !base.quiet
      ? await createProgress({ mode: 'plain', stream: log, warnings: log })
      : session.surroundings;
  const args = new Map(base.arguments);
  args.delete('TARGETPLATFORM');
  const result = await build(
    { ...session.surroundings, onProgress: progress.onProgress, platform: chosen },
    {
      ...base,
      ...(log ? { stdout: log, stderr: log } : {}),
      arguments: args,
      platform: chosen,
      platformGiven: platform !== undefined,
      logPrefix: several ? `[${formatPlatform(chosen)}] ` : '',
    },
  );
  if (printsId(context)) log?.write(`${result.imageId}\n`);
  return result;
}

function refuseSingleFiles({ flags }: CommandContext): void {
  for (const name of ['iidfile', 'iidfile-raw', 'metadata-file']) {
    const path = flags.string(name);
    if (!path) continue;
    throw usage(
      name === 'metadata-file'
        ? `building multiple images, but metadata file "${path}" can only be used to store information about one image`
        : `building multiple images, but ${name} "${path}" can only be used to store one image ID`,
    );
  }
}
