import { availableParallelism } from 'node:os';
import type { BuildSurroundings } from '../../../build/container/contract.ts';
import { buildImage } from '../../../build/exec/build.ts';
import type { BuildEvent } from '../../../build/exec/events.ts';
import type { BuildOptions, BuildResult } from '../../../build/exec/options.ts';
import type { BuildRecord } from '../../../build/record/record.ts';
import { BuildRecorder } from '../../../build/record/recorder.ts';
import { isSystemError, SlipwayError, systemErrorText } from '../../../errors.ts';
import { formatPlatform } from '../../../image/platform.ts';
import { ReportFile } from '../../cli/build-report-file.ts';
import { jsonView, plainView } from '../../cli/build-streams.ts';
import { type BuildView, canShowLive } from '../../cli/build-view.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../cli/contract.ts';
import { UsageError } from '../../cli/error.ts';
import { logLine } from '../../cli/log-line.ts';
import { writeResult } from '../buildah/build.ts';
import { BUILD_FLAGS } from '../buildah/build-flags.ts';
import { openBuild } from '../buildah/build-options.ts';
import type { PlatformsResult } from '../buildah/build-platforms.ts';
import { retryDefaults } from '../buildah/containers-conf.ts';
import { explanationLines } from './build-explain.ts';
import { contextIdentity, recordsDirectory } from './build-identity.ts';

const OWN_FLAGS: readonly FlagSpec[] = [
  {
    name: 'progress',
    kind: 'string',
    default: 'auto',
    usage: 'how to show the build on stderr: `auto` (live on a terminal), plain or json, one event a line',
  },
  { name: 'report', kind: 'string', usage: 'write a page about the build to this `FILE`' },
  { name: 'explain', kind: 'bool', usage: 'say of each step that was built why it was not in the cache' },
  {
    name: 'jobs',
    kind: 'int',
    default: 0,
    usage: 'how many stages are built at once; default: as many as there are cores',
  },
  {
    name: 'layers',
    kind: 'bool',
    default: true,
    usage: 'make an image for each step and use those of earlier builds',
  },
];

/** The flags of `slipway build`: Buildah's, with additions and other defaults. */
export const SLIPWAY_BUILD_FLAGS: readonly FlagSpec[] = [
  ...OWN_FLAGS,
  ...BUILD_FLAGS.filter((flag) => !OWN_FLAGS.some((own) => own.name === flag.name)),
];

/** `slipway build`: the build of bin/buildah, shown live, explained and reported. Results alone go to stdout. */
export const build: CommandSpec = {
  name: 'build',
  aliases: ['bud'],
  summary: 'Build an image from a Containerfile, shown live, explained and reported',
  description:
    'Takes every flag of buildah build. Steps are kept and used again, and independent stages are built at once,\n' +
    'unless flags say otherwise. The image id goes to stdout, everything else to stderr.',
  usage: '[flags] [CONTEXT]',
  examples: [
    'slipway build -t app .',
    'slipway build --progress json . 2>events.ndjson',
    'slipway build --explain --report build.html .',
  ],
  flags: SLIPWAY_BUILD_FLAGS,
  configuredDefaults: retryDefaults,
  args: { max: 1 },
  run: runBuild,
};

async function runBuild(context: CommandContext): Promise<number | void> {
  if (context.flags.bool('check')) return (await import('../buildah/build-check.ts')).checkBuild(context);
  const mode = progressMode(context);
  const view = await openView(context, mode);
  try {
    await buildShown({ ...context, io: { ...context.io, stderr: view.messages } }, view, context);
  } catch (error) {
    view.close();
    if (mode !== 'json' || !(error instanceof SlipwayError || isSystemError(error))) throw error;
    context.note(JSON.stringify({ type: 'error', ...told(error) }));
    return error instanceof SlipwayError ? (error.exitCode ?? 1) : 1;
  }
}

function told(error: SlipwayError | NodeJS.ErrnoException) {
  const { code, hint } = error instanceof SlipwayError ? error : { code: error.code, hint: undefined };
  return { code, message: systemErrorText(error), ...(hint ? { hint } : {}) };
}

function progressMode({ flags }: CommandContext): 'auto' | 'plain' | 'json' {
  const mode = flags.string('progress');
  if (mode === 'auto' || mode === 'plain' || mode === 'json') return mode;
  throw new UsageError('bad-flag', `invalid value "${mode}" for --progress`, { hint: 'auto, plain or json' });
}

async function openView(context: CommandContext, mode: 'auto' | 'plain' | 'json'): Promise<BuildView> {
  if (mode === 'json') return jsonView(context.io);
  if (mode === 'plain' || !canShowLive(context, ['stderr'])) return plainView(context.io);
  const { LiveView } = await import('../../cli/build-live.ts');
  return new LiveView(context.io.stderr, { keepLines: false, nowMs: () => performance.now() });
}

/** @param outer with the stderr behind the view */
async function buildShown(context: CommandContext, view: BuildView, outer: CommandContext): Promise<void> {
  const { flags, io } = context;
  const reportName = flags.string('report');
  const report = reportName ? new ReportFile(reportName, io.workingDirectory) : undefined;
  const records: BuildRecord[] = [];
  await using job = await openBuild(context, {
    streams: { stdout: view.stdout, stderr: view.stderr },
    hideTransfers: view.onEvent !== undefined,
    build: async (surroundings, given) => {
      const onEvent = listeners(view, report);
      const options = { ...given, ...ownDefaults(context, given), ...(onEvent ? { onEvent } : {}) };
      const recorder = await openRecorder(context, options, surroundings);
      let result: BuildResult | undefined;
      try {
        result = await buildImage(surroundings, { ...options, onInputs: recorder?.onInputs });
        return result;
      } finally {
        const record = recorder?.finish(result?.imageId ?? '');
        if (record) records.push(record);
        await report?.addBuild(surroundings.store, result?.imageId, record?.explanations);
      }
    },
  });
  const title = flags.list('tag')[0] ?? context.args[0] ?? '.';
  const end = () => {
    view.close();
    if (flags.bool('explain')) tellWhy(outer, records, progressMode(context) === 'json');
  };
  let result: PlatformsResult;
  try {
    result = await job.run();
  } catch (error) {
    end();
    writeFailedReport(outer, report, title);
    throw error;
  }
  end();
  writeResult(outer, job, result);
  report?.write(title);
}

/** What went wrong first is what the build fails with. */
function writeFailedReport(context: CommandContext, report: ReportFile | undefined, title: string): void {
  try {
    report?.write(title);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (progressMode(context) !== 'json') logLine(context, 'warning', error.message);
    else context.note(JSON.stringify({ type: 'warning', text: error.message }));
  }
}

function listeners(view: BuildView, report: ReportFile | undefined): BuildOptions['onEvent'] {
  const { onEvent } = view;
  if (!report) return onEvent;
  return (event: BuildEvent) => {
    report.data.onEvent(event);
    onEvent?.(event);
  };
}

/** Steps are kept; as many stages run at once as there are cores, and their lines are marked where several may run. */
function ownDefaults(
  { flags, io }: CommandContext,
  options: BuildOptions,
): Pick<BuildOptions, 'layers' | 'jobs' | 'prefixOutput'> {
  const layers = flags.changed('layers') || io.environment.BUILDAH_LAYERS ? options.layers : true;
  const jobs = flags.changed('jobs') ? options.jobs : availableParallelism();
  const stages = options.files.reduce(
    (sum, { text }) => sum + (text.match(/^[ \t]*FROM[ \t]/gim)?.length ?? 0),
    0,
  );
  return { layers, jobs, prefixOutput: jobs !== 1 && stages > 1 };
}

/** Steps that are not kept one by one cannot be compared one by one. */
async function openRecorder(
  context: CommandContext,
  options: BuildOptions,
  surroundings: BuildSurroundings,
): Promise<BuildRecorder | undefined> {
  if (!options.layers) return undefined;
  return BuildRecorder.open(
    recordsDirectory(context.io),
    {
      context: contextIdentity(context.args[0], options.contextDirectory),
      files: options.files.map(({ path, name }) => path ?? name),
      target: options.target,
      platform: formatPlatform(options.platform),
    },
    surroundings,
  );
}

function tellWhy(context: CommandContext, records: readonly BuildRecord[], asJson: boolean): void {
  for (const record of records) {
    if (asJson) context.note(JSON.stringify({ type: 'explained', steps: record.explanations ?? null }));
    else for (const line of explanationLines(record)) context.note(line);
  }
}
