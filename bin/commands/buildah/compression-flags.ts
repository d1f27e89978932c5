import type { CopyOptions } from '../../../transport/copy-options.ts';
import type { CommandContext, FlagSpec } from '../../cli/contract.ts';
import { usage } from './arguments.ts';
import { containersConfig } from './containers-conf.ts';

export const COMPRESSION_FLAGS: readonly FlagSpec[] = [
  { name: 'compression-format', kind: 'string', usage: 'compress layers with gzip, zstd or zstd:chunked' },
  { name: 'compression-level', kind: 'int', usage: 'level of compression' },
  { name: 'force-compression', kind: 'bool', usage: 'never reuse layers that are compressed otherwise' },
];

/** Of the commands that push manifest lists. */
export const ADD_COMPRESSION_FLAG: FlagSpec = {
  name: 'add-compression',
  kind: 'slice',
  usage: 'push every image of a list in this format too: gzip, zstd or zstd:chunked; repeat for several',
};

const FORMATS = ['gzip', 'zstd', 'zstd:chunked'] as const;

/** The format that the flags or containers.conf name, gzip in containers.conf being no choice. */
export async function compressionName(context: CommandContext): Promise<string> {
  const { engine } = await containersConfig(context);
  const configured = engine.compression_format === 'gzip' ? '' : engine.compression_format;
  return context.flags.string('compression-format') || configured;
}

/** Reads {@link COMPRESSION_FLAGS}; what they leave open is up to containers.conf. */
export async function compressionChoice(
  context: CommandContext,
): Promise<Pick<CopyOptions, 'compression' | 'forceCompression'>> {
  const { flags } = context;
  const { engine } = await containersConfig(context);
  const text = await compressionName(context);
  const level = flags.changed('compression-level')
    ? flags.number('compression-level')
    : engine.compression_level;
  const format = FORMATS.find((name) => name === text);
  if (text && !format) throw usage(`cannot find compressor for "${text}"`);
  const forceCompression = flags.changed('force-compression') ? flags.bool('force-compression') : text !== '';
  if (!format && level === undefined) return { forceCompression };
  return { compression: { format: format ?? 'gzip', level }, forceCompression };
}

/** Reads {@link ADD_COMPRESSION_FLAG}, else what containers.conf says. */
export async function addedCompressions(context: CommandContext): Promise<CopyOptions['addCompressions']> {
  const { flags } = context;
  const { engine } = await containersConfig(context);
  const names = flags.changed('add-compression') ? flags.list('add-compression') : engine.add_compression;
  return names.map((text) => {
    const format = FORMATS.find((name) => name === text);
    if (!format) throw usage(`cannot find compressor for "${text}"`);
    return format;
  });
}
