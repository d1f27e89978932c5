import { writeFileSync } from 'node:fs';
import { buildImage } from '../../../build/exec/build.ts';
import { type BuildView, canShowLive } from '../../cli/build-view.ts';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { onNamedFile } from '../../cli/error.ts';
import { BUILD_FLAGS } from './build-flags.ts';
import { printsId } from './build-log.ts';
import { type BuildAdditions, type BuildJob, openBuild } from './build-options.ts';
import type { PlatformsResult } from './build-platforms.ts';
import { retryDefaults } from './containers-conf.ts';
import { imageMetadata } from './image-metadata.ts';

export const build: CommandSpec = {
  name: 'build',
  aliases: ['bud', 'build-using-dockerfile'],
  summary: 'Build an image from a Containerfile',
  description:
    'Reads the Containerfile or Dockerfile of a context (a directory, a git repository, the URL of an archive, or - for\n' +
    'stdin) and builds an image from it. The language is that of Buildah 1.44 and of Dockerfile syntax 1.26 together.',
  usage: '[flags] [CONTEXT]',
  examples: [
    'buildah build -t app .',
    'buildah build --layers -f Containerfile.simple .',
    'buildah build --build-arg VERSION=2 --target tests https://example.com/project.git',
  ],
  flags: BUILD_FLAGS,
  configuredDefaults: retryDefaults,
  args: { max: 1 },
  interspersed: false,
  run: runBuild,
};

async function runBuild(context: CommandContext): Promise<number | void> {
  if (context.flags.bool('check')) return (await import('./build-check.ts')).checkBuild(context);
  const view = await liveView(context);
  try {
    await buildAndName(view ? { ...context, io: { ...context.io, stderr: view.messages } } : context, view);
  } finally {
    view?.close();
  }
}

/** On a terminal the running steps are shown below Buildah's lines, with the time they take. */
async function liveView(context: CommandContext): Promise<BuildView | undefined> {
  if (!canShowLive(context, ['stdout', 'stderr'])) return undefined;
  const { LiveView } = await import('../../cli/build-live.ts');
  return new LiveView(context.io.stdout, { keepLines: true, nowMs: () => performance.now() });
}

async function buildAndName(context: CommandContext, view: BuildView | undefined): Promise<void> {
  await using job = await openBuild(context, view ? shownBy(view) : {});
  const result = await job.run();
  view?.close();
  writeResult(context, job, result);
}

/** Lines and events of a build go where a view has them. */
export function shownBy(view: BuildView): BuildAdditions {
  const { onEvent } = view;
  return {
    streams: { stdout: view.stdout, stderr: view.stderr },
    hideTransfers: onEvent !== undefined,
    build: (surroundings, options) => buildImage(surroundings, onEvent ? { ...options, onEvent } : options),
  };
}

/** Prints the image id, or writes the files that flags ask for. */
export function writeResult(context: CommandContext, job: BuildJob, result: PlatformsResult): void {
  const { flags } = context;
  const iidFile = flags.string('iidfile');
  const rawFile = flags.string('iidfile-raw') || flags.string('raw-iidfile');
  if (iidFile) writeNamed('image ID', iidFile, result.imageId ? `sha256:${result.imageId}` : '');
  if (rawFile) writeNamed('image ID', rawFile, result.imageId);
  if (printsId(context)) for (const imageId of result.imageIds) job.printId(imageId);
  const metadataFile = flags.string('metadata-file');
  if (metadataFile) writeNamed('image metadata', metadataFile, JSON.stringify(imageMetadata(result)));
}

function writeNamed(what: string, file: string, text: string): void {
  const words = `failed to write ${what} to file ${JSON.stringify(file)}: `;
  onNamedFile(words, file, () => writeFileSync(file, text));
}
