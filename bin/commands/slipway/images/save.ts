import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { SAVE_FORMATS, type SaveFormat, saveImages } from '../../../../build/images/save.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { temporaryDirectory } from '../../../cli/transport-context.ts';
import { openSession, type Session } from '../../buildah/session.ts';
import { findImageRecord } from './find.ts';

/** `slipway save`: podman save. */
export const save: CommandSpec = {
  name: 'save',
  summary: 'Save local images to an archive or directory',
  usage: '[flags] IMAGE [IMAGE...]',
  examples: ['slipway save -o app.tar app', 'slipway save --format oci-archive app | ssh host slipway load'],
  args: { min: 1 },
  flags: [
    {
      name: 'format',
      kind: 'string',
      default: 'docker-archive',
      usage: `write a \`FORMAT\`: ${SAVE_FORMATS.join(', ')}`,
    },
    { name: 'output', short: 'o', kind: 'string', usage: 'write to `FILE`; default: stdout' },
    {
      name: 'multi-image-archive',
      short: 'm',
      kind: 'bool',
      usage: 'take every argument for an image; else the others are names for the first',
    },
    { name: 'compress', kind: 'bool', usage: 'compress layers of a directory' },
    { name: 'quiet', short: 'q', kind: 'bool', usage: 'print no progress' },
  ],
  run: async (context) => {
    const format = context.flags.string('format') as SaveFormat;
    if (!SAVE_FORMATS.includes(format))
      throw new UsageError(
        'usage',
        `unsupported format ${JSON.stringify(format)}: ${SAVE_FORMATS.join(', ')}`,
      );
    const output = context.flags.string('output');
    if (output === '' && format.endsWith('-dir'))
      throw new UsageError('usage', `--format ${format} needs --output DIRECTORY`);
    if (output === '' && context.io.stdout.isTTY)
      throw new UsageError('usage', 'refusing to save to terminal. Use -o flag or redirect');
    await using session = await openSession(context, { quiet: context.flags.bool('quiet') });
    const options = { format, compress: context.flags.bool('compress') };
    const images = await chosen(context, session);
    if (output !== '')
      await saveImages(session.surroundings, images, {
        ...options,
        path: resolve(context.io.workingDirectory, output),
      });
    else await saveToStdout(context, session, images, options);
  },
};

async function chosen({ args, flags }: CommandContext, session: Session) {
  const [first = '', ...others] = args;
  const nameOf = async (text: string) => {
    const record = await findImageRecord(session, text);
    return {
      id: record.id,
      names: record.id.startsWith(text) ? [] : record.names.filter((name) => name.includes(text)).slice(0, 1),
    };
  };
  if (flags.bool('multi-image-archive')) return await Promise.all(args.map(nameOf));
  const image = await nameOf(first);
  return [{ ...image, names: [...image.names, ...others] }];
}

/** Archives are written to a file first: what fails half-way never reaches the pipe. */
async function saveToStdout(
  context: CommandContext,
  session: Session,
  images: Parameters<typeof saveImages>[1],
  options: { readonly format: SaveFormat },
): Promise<void> {
  const directory = await mkdtemp(join(temporaryDirectory(context.io), 'slipway-save-'));
  try {
    const path = join(directory, 'archive.tar');
    await saveImages(session.surroundings, images, { ...options, path });
    await pipeline(createReadStream(path), context.io.stdout, { end: false, signal: context.signal });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
