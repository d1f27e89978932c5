import {
  addToSourceImage,
  createSourceImage,
  type SourceSurroundings,
} from '../../../../build/source/source-image.ts';
import { platformOf } from '../../../../image/platform.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { usage } from '../arguments.ts';

export const create: CommandSpec = {
  name: 'create',
  summary: 'Make an empty source image',
  usage: '[flags] DIRECTORY',
  flags: [
    { name: 'author', kind: 'string', usage: 'who made it' },
    { name: 'time-stamp', kind: 'bool', default: true, usage: 'say when it was made' },
  ],
  args: { min: 1, max: 1 },
  run: async (context) => {
    const { flags, args } = context;
    await createSourceImage(
      args[0] as string,
      { author: flags.string('author'), created: flags.bool('time-stamp') ? new Date() : undefined },
      surroundingsOf(context),
    );
  },
};

export const add: CommandSpec = {
  name: 'add',
  summary: 'Add a file or directory to a source image',
  usage: '[flags] DIRECTORY SOURCE',
  flags: [{ name: 'annotation', kind: 'array', usage: 'set `NAME=VALUE` of the layer' }],
  args: { min: 2, max: 2 },
  run: async (context) => {
    const { flags, args } = context;
    await addToSourceImage(
      args[0] as string,
      args[1] as string,
      annotationsOf(flags.list('annotation')),
      surroundingsOf(context),
    );
  },
};

function surroundingsOf({ io, signal }: CommandContext): SourceSurroundings {
  return {
    workingDirectory: io.workingDirectory,
    context: {
      platform: platformOf(process.platform, process.arch),
      temporaryDirectory: io.environment.TMPDIR || '/var/tmp',
      signal,
    },
  };
}

function annotationsOf(texts: readonly string[]): Record<string, string> {
  const annotations: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 0) throw usage(`invalid annotation "${text}" (expected format is "key=value")`);
    const name = text.slice(0, equals);
    if (Object.hasOwn(annotations, name)) throw usage(`annotation "${name}" specified more than once`);
    annotations[name] = text.slice(equals + 1);
  }
  return annotations;
}
