import { baseConfigs } from '../../../build/exec/base-configs.ts';
import { readIgnoreFile } from '../../../build/exec/ignore-file.ts';
import { baseImages, type LintFile, type LintReport, lintContainerfiles } from '../../../build/lint/lint.ts';
import { type Platform, platformOf } from '../../../image/platform.ts';
import type { CommandContext } from '../../cli/contract.ts';
import { buildArguments } from './build-arguments.ts';
import { openContext, readContainerfiles } from './build-context.ts';
import type { Session } from './session.ts';

/** A report with the files that it is about. */
export interface CheckedFiles {
  readonly report: LintReport;
  readonly files: readonly LintFile[];
}

/** Reads the context and the Containerfiles that a command line of `build` or `lint` means, and lints them. */
export async function checkFiles(
  context: CommandContext,
  session: Session,
  given: {
    readonly platform?: Platform;
    readonly contexts: ReadonlySet<string>;
    /** Ask registries for base images that are not in local storage. */
    readonly registries: boolean;
  },
): Promise<CheckedFiles> {
  await using source = await openContext(context, session.surroundings);
  const files = await readContainerfiles(context, source);
  const { flags } = context;
  const host = platformOf(process.platform, process.arch);
  const ignore = readIgnoreFile(source.directory, {
    explicit: flags.string('ignorefile') || undefined,
    containerfile: files[0]?.path,
  });
  const options = {
    platform: given.platform ?? host,
    buildPlatform: host,
    arguments: buildArguments(context),
    target: flags.string('target'),
    contexts: given.contexts,
    ignorePatterns: ignore.patterns,
  };
  const bases = await baseConfigs(session.surroundings, baseImages(files, options), given);
  return { report: lintContainerfiles(files, { ...options, bases }), files };
}

/** BuildKit's `--check` ends with 1 where anything was found. */
export function exitCodeOf({ findings, problems }: LintReport): number {
  return findings.length + problems.length > 0 ? 1 : 0;
}
