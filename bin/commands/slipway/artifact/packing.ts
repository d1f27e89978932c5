import { readFile } from 'node:fs/promises';
import { isAbsolute, normalize, resolve } from 'node:path';
import type { ArtifactFile } from '../../../../artifact/pack.ts';
import type { PushArtifactOptions } from '../../../../artifact/push.ts';
import type { Annotations } from '../../../../image/descriptor.ts';
import { isJsonObject, type JsonValue, parseJsonObject } from '../../../../image/json.ts';
import type { CommandContext, FlagSpec } from '../../../cli/contract.ts';
import { UsageError } from '../../../cli/error.ts';
import { FORMAT, QUIET } from './shared.ts';

/** Flags of push and attach. */
export const PACKING_FLAGS: readonly FlagSpec[] = [
  { name: 'artifact-type', kind: 'string', usage: 'say what kind of artifact this is, as a media `TYPE`' },
  { name: 'annotation', short: 'a', kind: 'array', usage: 'annotate the manifest with `KEY=VALUE`' },
  {
    name: 'annotation-file',
    kind: 'string',
    usage: 'read annotations of $manifest, $config and of files from the JSON in `FILE`',
  },
  { name: 'config', kind: 'string', usage: 'use `FILE[:TYPE]` as the config' },
  {
    name: 'disable-path-validation',
    kind: 'bool',
    usage: 'take files by absolute paths and from above this directory too',
  },
  { name: 'export-manifest', kind: 'string', usage: 'write the manifest that is pushed to `FILE` too' },
  FORMAT,
  QUIET,
];

/** `file:type` arguments. A pull writes a file under the name that was given here. @throws UsageError */
export function readFiles(context: CommandContext, words: readonly string[]): ArtifactFile[] {
  const free = context.flags.bool('disable-path-validation');
  return words.map((text) => {
    const { path: title, mediaType } = splitType(text);
    if (!free && (isAbsolute(title) || normalize(title).split('/').includes('..')))
      throw new UsageError('usage', `${title} is outside this directory, where a pull would not write it`, {
        hint: 'go there, or use --disable-path-validation',
      });
    return {
      path: resolve(context.io.workingDirectory, title),
      title: normalize(title).replace(/(.)\/$/, '$1'),
      ...(mediaType === undefined ? {} : { mediaType }),
    };
  });
}

/** The type has a slash, so that a colon in a name does not split it. */
function splitType(text: string): { readonly path: string; readonly mediaType?: string } {
  const colon = text.lastIndexOf(':');
  const type = text.slice(colon + 1);
  return colon > 0 && /^[\w.+-]+\/[\w.+-]+$/.test(type)
    ? { path: text.slice(0, colon), mediaType: type }
    : { path: text };
}

/** @throws UsageError for malformed annotations; ImageError for a malformed annotation file */
export async function readPacking(context: CommandContext): Promise<PushArtifactOptions> {
  const { flags, io } = context;
  const file = await readAnnotationFile(context);
  const config = flags.changed('config') ? splitType(flags.string('config')) : undefined;
  const configAnnotations = file.get('$config');
  return {
    annotations: { ...file.get('$manifest'), ...pairs(flags.list('annotation')) },
    fileAnnotations: Object.fromEntries(file),
    signal: context.signal,
    ...(flags.changed('artifact-type') ? { artifactType: flags.string('artifact-type') } : {}),
    ...(config ? { config: { ...config, path: resolve(io.workingDirectory, config.path) } } : {}),
    ...(configAnnotations ? { configAnnotations } : {}),
  };
}

function pairs(words: readonly string[]): Annotations {
  return Object.fromEntries(
    words.map((pair): [string, string] => {
      const equals = pair.indexOf('=');
      if (equals < 1) throw new UsageError('usage', `annotation ${JSON.stringify(pair)} is not KEY=VALUE`);
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}

async function readAnnotationFile({ flags, io }: CommandContext): Promise<ReadonlyMap<string, Annotations>> {
  const name = flags.string('annotation-file');
  if (name === '') return new Map();
  const json = parseJsonObject(await readFile(resolve(io.workingDirectory, name)), { what: name });
  return new Map(Object.entries(json).map(([key, value]) => [key, readAnnotations(name, key, value)]));
}

function readAnnotations(name: string, key: string, value: JsonValue): Annotations {
  const texts = isJsonObject(value) ? Object.entries(value) : undefined;
  if (!texts?.every(([, text]) => typeof text === 'string'))
    throw new UsageError('usage', `${name}: ${JSON.stringify(key)} is no set of annotations`);
  return Object.fromEntries(texts as [string, string][]);
}
