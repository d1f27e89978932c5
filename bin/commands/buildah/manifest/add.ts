import { contextOf, findLocalImage } from '../../../../build/container/pull.ts';
import { addArtifact } from '../../../../build/list/add-artifact.ts';
import { addImage } from '../../../../build/list/add-image.ts';
import type { ManifestList } from '../../../../build/list/list.ts';
import { changeEntry, saveList } from '../../../../build/list/list.ts';
import type { Descriptor } from '../../../../image/descriptor.ts';
import { digestOf } from '../../../../image/digest.ts';
import { parseManifest } from '../../../../image/manifest.ts';
import type { CommandContext, CommandSpec, FlagSpec } from '../../../cli/contract.ts';
import { usage } from '../arguments.ts';
import { REGISTRY_FLAGS } from '../registry-flags.ts';
import { openSession, type Session } from '../session.ts';
import { ENTRY_FLAGS, entryChanges } from './entry-flags.ts';
import { findList, instanceReference, localReference } from './find-list.ts';

const ARTIFACT_FLAGS: readonly FlagSpec[] = [
  { name: 'artifact-annotation', kind: 'slice', usage: "set `NAME=VALUE` in the artifact's manifest" },
  { name: 'artifact-config', kind: 'string', usage: "file with the artifact's config" },
  { name: 'artifact-config-type', kind: 'string', usage: "media type of the artifact's config" },
  { name: 'artifact-exclude-titles', kind: 'bool', usage: 'do not name the files in the manifest' },
  { name: 'artifact-layer-type', kind: 'string', usage: "media type of the artifact's files" },
  { name: 'artifact-subject', kind: 'string', usage: 'image that the artifact is about' },
  { name: 'artifact-type', kind: 'string', usage: 'type of the artifact' },
];

const FLAGS: readonly FlagSpec[] = [
  ...REGISTRY_FLAGS.filter((flag) => !flag.hidden),
  ...ENTRY_FLAGS,
  ...ARTIFACT_FLAGS,
  { name: 'all', kind: 'bool', usage: 'of an image that is a list, add all of its images' },
  { name: 'artifact', kind: 'bool', usage: 'add files as an artifact' },
  { name: 'insecure', kind: 'bool', usage: 'neither require HTTPS nor check certificates', hidden: true },
];

export const add: CommandSpec = {
  name: 'add',
  summary: 'Add an image or artifact to a manifest list',
  usage: '[flags] LIST IMAGE',
  args: { min: 2 },
  examples: [
    'buildah manifest add app:multi docker://alpine',
    'buildah manifest add --artifact app:multi sbom.json',
  ],
  flags: FLAGS,
  run: runAdd,
};

async function runAdd(context: CommandContext): Promise<void> {
  const { flags, args, print } = context;
  const [listName = '', ...items] = args;
  const artifact = flags.bool('artifact');
  if (!artifact) {
    if (items.length > 1) throw usage('too many arguments: expected list and image add to list');
    refuseArtifactFlags(context);
  }
  if (listName === '' || items[0] === '') throw usage('invalid image name ""');
  await using session = await openSession(context, { flags: FLAGS });
  const { list } = await findList(session, listName);
  const added = artifact
    ? await addArtifact(list, items, await artifactOptions(context, session))
    : await addOneImage(session, list, items[0] as string, flags.bool('all'));
  const changed = changeEntry(added.list, added.digest, entryChanges(flags));
  print(`${await saveList(session.store, changed)}: ${added.digest}`);
}

function refuseArtifactFlags({ flags }: CommandContext): void {
  const given = ARTIFACT_FLAGS.filter((flag) => flags.changed(flag.name)).map((flag) => `--${flag.name}`);
  if (given.length)
    throw usage(`${given.join('/')} ${given.length === 1 ? 'requires' : 'require'} --artifact`);
}

/** A name that no registry answers for may be a local image. */
async function addOneImage(session: Session, list: ManifestList, name: string, all: boolean) {
  try {
    return await addImage(session.surroundings, list, await instanceReference(session, name, false), all);
  } catch (error) {
    const found = await findLocalImage(session.surroundings, name, { forPlatform: false });
    if (!found) throw error;
    return addImage(session.surroundings, list, await localReference(session, found.record), all);
  }
}

async function artifactOptions({ flags, io }: CommandContext, session: Session) {
  const given = (name: string) => (flags.changed(name) ? flags.string(name) : undefined);
  const pairs = flags.list('artifact-annotation').map((text): [string, string] => {
    const equals = text.indexOf('=');
    return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
  });
  const subject = flags.string('artifact-subject');
  return {
    artifactType: given('artifact-type'),
    configType: given('artifact-config-type'),
    configFile: flags.string('artifact-config') || undefined,
    layerType: given('artifact-layer-type'),
    excludeTitles: flags.bool('artifact-exclude-titles'),
    annotations: pairs.length ? Object.fromEntries(pairs) : undefined,
    subject: subject ? await describe(session, subject) : undefined,
    workingDirectory: io.workingDirectory,
  };
}

/** The descriptor of the manifest that a name leads to. */
export async function describe(session: Session, name: string): Promise<Descriptor> {
  const reference = await instanceReference(session, name, true);
  await using source = await reference.openSource(contextOf(session.surroundings));
  const { bytes, mediaType } = await source.getManifest();
  const manifest = parseManifest(bytes, mediaType);
  const artifactType = manifest.kind === 'image' ? manifest.artifactType : undefined;
  return {
    mediaType: manifest.mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
    ...(artifactType ? { artifactType } : {}),
  };
}
