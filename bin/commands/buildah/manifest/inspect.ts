import { contextOf, findLocalImage, resolveName } from '../../../../build/container/pull.ts';
import { readStoredImage } from '../../../../build/container/stored-image.ts';
import { BuildError } from '../../../../build/error.ts';
import { loadList } from '../../../../build/list/list.ts';
import { goJsonText } from '../../../../image/go-json.ts';
import { parseManifest } from '../../../../image/manifest.ts';
import { isIndexMediaType } from '../../../../image/media-type.ts';
import { formatReference } from '../../../../image/reference.ts';
import { parseImageReference } from '../../../../transport/references.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../../cli/contract.ts';
import { usage } from '../arguments.ts';
import { namesTransport } from '../image-name.ts';
import { openSession, type Session } from '../session.ts';
import { listData } from './list-data.ts';

const FLAGS: readonly FlagSpec[] = [
  { name: 'authfile', kind: 'string', usage: 'read credentials from this `FILE`' },
  { name: 'tls-verify', kind: 'optionalBool', usage: 'require HTTPS and check certificates (default true)' },
];

export const inspect: CommandSpec = {
  name: 'inspect',
  summary: 'Show a manifest list',
  usage: '[flags] LIST',
  args: { min: 1 },
  flags: FLAGS,
  run: runInspect,
};

async function runInspect(context: CommandContext): Promise<void> {
  const { args, print } = context;
  const [name = ''] = args;
  if (args.length > 1) throw usage('only one argument is necessary for inspect: an image name');
  if (name === '') throw usage('invalid image name ""');
  await using session = await openSession(context, { flags: FLAGS });
  print(goJsonText(await inspectList(session, name), '    '));
}

/** The list's own JSON, with the files of its artifacts; a local one first, then what registries have of the name. */
export async function inspectList(session: Session, name: string): Promise<unknown> {
  const local = namesTransport(name)
    ? undefined
    : await findLocalImage(session.surroundings, name, { forPlatform: false });
  if (local) {
    const { manifest } = await readStoredImage(session.store, local.record);
    if (manifest.kind === 'index') return listData(await loadList(session.store, local.record));
  }
  return remoteList(session, name);
}

async function remoteList({ surroundings }: Session, name: string): Promise<unknown> {
  let failure: BuildError | undefined;
  for (const text of await candidates(name, surroundings)) {
    try {
      const reference = await parseImageReference(text, surroundings);
      await using source = await reference.openSource(contextOf(surroundings));
      const { bytes, mediaType } = await source.getManifest();
      const { mediaType: type } = parseManifest(bytes, mediaType);
      if (isIndexMediaType(type)) return JSON.parse(Buffer.from(bytes).toString('utf8'));
      failure = new BuildError('bad-argument', `manifest is of type ${type} (not a list type)`);
    } catch (cause) {
      if (surroundings.signal?.aborted) throw cause;
      failure = new BuildError('bad-argument', `reading image "${text}": ${(cause as Error).message}`, {
        cause,
      });
    }
  }
  throw failure ?? new BuildError('bad-argument', `locating images with names ${name}`);
}

async function candidates(name: string, surroundings: Session['surroundings']): Promise<string[]> {
  if (namesTransport(name)) return [name];
  const { candidates: full } = await resolveName(surroundings, name);
  return full.map((reference) => `docker://${formatReference(reference)}`);
}
