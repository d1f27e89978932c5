import { findLocalImage } from '../../../../build/container/pull.ts';
import { BuildError } from '../../../../build/error.ts';
import { addImage } from '../../../../build/list/add-image.ts';
import {
  annotateIndex,
  emptyList,
  loadList,
  type ManifestList,
  saveList,
} from '../../../../build/list/list.ts';
import { formatReference } from '../../../../image/reference.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../../cli/contract.ts';
import { usage } from '../arguments.ts';
import { localName } from '../local-name.ts';
import { openSession, type Session } from '../session.ts';
import { parseAnnotations } from './annotations.ts';
import { instanceReference, localReference } from './find-list.ts';

const FLAGS: readonly FlagSpec[] = [
  { name: 'all', kind: 'bool', usage: 'of images that are lists, add all of theirs' },
  { name: 'amend', kind: 'bool', usage: 'add to a list of this name where there is one' },
  { name: 'annotation', kind: 'slice', usage: 'set `NAME=VALUE` in the list' },
  { name: 'arch', kind: 'string', usage: 'architecture to choose from images that are lists', hidden: true },
  {
    name: 'os',
    kind: 'string',
    usage: 'operating system to choose from images that are lists',
    hidden: true,
  },
  { name: 'replace', kind: 'bool', usage: 'take the name away from an image that has it' },
  { name: 'tls-verify', kind: 'optionalBool', usage: 'require HTTPS and check certificates (default true)' },
  { name: 'insecure', kind: 'bool', usage: 'neither require HTTPS nor check certificates', hidden: true },
];

export const create: CommandSpec = {
  name: 'create',
  summary: 'Make a manifest list',
  usage: '[flags] LIST [IMAGE...]',
  examples: ['buildah manifest create app:multi', 'buildah manifest create app:multi docker://alpine'],
  flags: FLAGS,
  args: { min: 1 },
  run: runCreate,
};

async function runCreate(context: CommandContext): Promise<void> {
  const { flags, args, print } = context;
  const [name = '', ...images] = args;
  if (name === '') throw usage('invalid image name ""');
  if (flags.bool('amend') && flags.bool('replace'))
    throw usage('--amend and --replace are mutually exclusive');
  await using session = await openSession(context, { flags: FLAGS });
  const fullName = formatReference(localName(name));
  let list = await startingList(context, session, name, fullName);
  const annotations = flags.list('annotation');
  if (annotations.length) list = annotateIndex(list, parseAnnotations(annotations));
  for (const image of images) {
    const reference = await instanceReference(session, image, true);
    ({ list } = await addImage(session.surroundings, list, reference, flags.bool('all')));
  }
  print(await saveList(session.store, list, list.id === '' ? [fullName] : []));
}

async function startingList(
  { flags }: CommandContext,
  session: Session,
  name: string,
  fullName: string,
): Promise<ManifestList> {
  const { store, surroundings } = session;
  const taken = await store.images.get(fullName);
  if (!taken) return emptyList();
  if (flags.bool('amend')) {
    const found = await findLocalImage(surroundings, name, { forPlatform: false });
    const record = found?.record ?? taken;
    try {
      return await loadList(store, record);
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      const { list } = await addImage(surroundings, emptyList(), await localReference(session, record), true);
      await store.images.removeNames(record.id, [fullName]);
      return list;
    }
  }
  if (flags.bool('replace')) {
    await store.images.removeNames(taken.id, [fullName]);
    return emptyList();
  }
  throw new BuildError(
    'bad-argument',
    `image name "${fullName}" is already associated with image "${taken.id}": that name is already in use`,
    {
      hint: 'amend that list with --amend, or take its name with --replace',
    },
  );
}
