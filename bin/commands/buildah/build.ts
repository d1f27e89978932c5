import { writeFileSync } from 'node:fs';
import type { CommandContext, CommandSpec } from '../../cli/contract.ts';
import { BUILD_FLAGS } from './build-flags.ts';
import { openBuild } from './build-options.ts';
import { retryDefaults } from './containers-conf.ts';

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
  run: runBuild,
};

async function runBuild(context: CommandContext): Promise<number | void> {
  const { flags } = context;
  if (flags.bool('check')) return (await import('./build-check.ts')).checkBuild(context);
  await using job = await openBuild(context);
  const result = await job.run();
  const iidFile = flags.string('iidfile');
  const rawFile = flags.string('iidfile-raw') || flags.string('raw-iidfile');
  if (iidFile) writeFileSync(iidFile, result.imageId ? `sha256:${result.imageId}` : '');
  if (rawFile) writeFileSync(rawFile, result.imageId);
  if (!iidFile && !rawFile) job.printId(result.imageId);
  const metadataFile = flags.string('metadata-file');
  if (metadataFile) writeFileSync(metadataFile, JSON.stringify(metadata(result)));
}

/** The document of `--metadata-file`, as Buildah 1.44 writes it. */
function metadata(result: {
  readonly imageId: string;
  readonly mediaType?: string;
  readonly digest?: string;
  readonly manifest?: Uint8Array;
}): Record<string, unknown> {
  return {
    'containerimage.config.digest': `sha256:${result.imageId}`,
    'containerimage.digest': result.digest,
    'containerimage.descriptor': {
      mediaType: result.mediaType,
      digest: result.digest,
      size: result.manifest?.length ?? 0,
    },
  };
}
