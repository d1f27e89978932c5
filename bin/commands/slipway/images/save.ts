import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { imageNotKnown } from '../../../../build/container/find-image.ts';
import { findLocalImage } from '../../../../build/container/pull.ts';
import { SAVE_FORMATS, type SaveFormat, saveImages } from '../../../../build/images/save.ts';
import { formatReference } from '../../../../image/reference.ts';
import type { CommandContext, CommandSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { temporaryDirectory } from '../../../cli/transport-context.ts';
import { localName } from '../../buildah/local-name.ts';
import { openSession, type Session } from '../../buildah/session.ts';

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
    const { format, output } = checkedFlags(context);
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

function checkedFlags({ flags, io }: CommandContext): {
  readonly format: SaveFormat;
  readonly output: string;
} {
  const format = flags.string('format') as SaveFormat;
  const output = flags.string('output');
  const refuse = (text: string) => new UsageError('usage', text);
  if (!SAVE_FORMATS.includes(format))
    throw refuse(`format value must be one of ${[...SAVE_FORMATS].reverse().join(' ')}`);
  if (flags.bool('compress') && format !== 'docker-dir')
    throw refuse("--compress can only be set when --format is 'docker-dir'");
  if (output.includes(':')) throw refuse(`invalid filename (should not contain ':') "${output}"`);
  if (output === '' && format.endsWith('-dir')) throw refuse(`--format ${format} needs --output DIRECTORY`);
  if (output === '' && io.stdout.isTTY) throw refuse('refusing to save to terminal. Use -o flag or redirect');
  return { format, output };
}

async function chosen({ args, flags }: CommandContext, session: Session) {
  const [first = '', ...others] = args;
  const named = async (text: string) => {
    const found = await findLocalImage(session.surroundings, text);
    if (!found) throw imageNotKnown(text);
    const { record, resolvedName } = found;
    // An image found by its id keeps no name.
    return { id: record.id, names: record.names.includes(resolvedName) ? [resolvedName] : [] };
  };
  if (flags.bool('multi-image-archive')) return await Promise.all(args.map(named));
  const image = await named(first);
  const more = others.map((text) => formatReference(localName(text)));
  return [{ ...image, names: [...new Set([...more, ...image.names])] }];
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
