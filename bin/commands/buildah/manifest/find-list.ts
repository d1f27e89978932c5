import { resolve } from 'node:path';
import { imageNotKnown } from '../../../../build/container/find-image.ts';
import { contextOf, findLocalImage } from '../../../../build/container/pull.ts';
import { BuildError } from '../../../../build/error.ts';
import { loadList, type ManifestList } from '../../../../build/list/list.ts';
import { type Digest, digestOf, tryParseDigest } from '../../../../image/digest.ts';
import type { ImageRecord } from '../../../../store/storage/contract.ts';
import type { ImageReference } from '../../../../transport/contract.ts';
import { parseImageReference } from '../../../../transport/references.ts';
import { namesTransport } from '../image-name.ts';
import type { Session } from '../session.ts';

/** A list of local storage and its record. */
export interface FoundList {
  readonly record: ImageRecord;
  readonly list: ManifestList;
}

/** @throws BuildError where there is no such image, or it is not a manifest list */
export async function findList(session: Session, name: string): Promise<FoundList> {
  if (name === '') throw new BuildError('bad-argument', 'invalid image name ""');
  const found = await findListIfThere(session, name);
  if (!found) throw imageNotKnown(name);
  return found;
}

/** @throws BuildError where the name is that of an image that is not a manifest list */
export async function findListIfThere(session: Session, name: string): Promise<FoundList | undefined> {
  const found = await findLocalImage(session.surroundings, name, { forPlatform: false });
  if (!found) return undefined;
  const { record, resolvedName } = found;
  return { record, list: await loadList(session.store, record, resolvedName) };
}

/** What a name of an image to add means: a transport's reference, a registry, with `local` storage first where asked. */
export async function instanceReference(
  session: Session,
  name: string,
  localFirst: boolean,
): Promise<ImageReference> {
  const { surroundings } = session;
  if (namesTransport(name)) return parseImageReference(name, surroundings);
  const local = async () => {
    const found = await findLocalImage(surroundings, name, { forPlatform: false });
    return found && localReference(session, found.record);
  };
  const found = localFirst ? await local() : undefined;
  if (found) return found;
  try {
    return await parseImageReference(`docker://${name}`, surroundings);
  } catch (error) {
    const fallback = await local();
    if (fallback) return fallback;
    throw error;
  }
}

export async function localReference(
  { surroundings }: Session,
  record: ImageRecord,
): Promise<ImageReference> {
  return parseImageReference(`containers-storage:@${record.id}`, surroundings);
}

/** The entry that a digest, a file of an artifact, or an image name means. */
export async function findInstance(session: Session, list: ManifestList, text: string): Promise<Digest> {
  const digest = tryParseDigest(text);
  if (digest) return digest;
  const path = resolve(session.surroundings.workingDirectory, text);
  for (const [manifest, files] of Object.entries(list.artifacts.files))
    if (files.includes(path)) return manifest as Digest;
  const { surroundings } = session;
  let reference: ImageReference;
  try {
    reference = await instanceReference(session, text, false);
  } catch (cause) {
    throw new BuildError('bad-argument', `invalid instance "${text}": ${(cause as Error).message}`, {
      cause,
    });
  }
  try {
    await using source = await reference.openSource(contextOf(surroundings));
    return digestOf((await source.getManifest()).bytes);
  } catch (cause) {
    const found = await findLocalImage(surroundings, text, { forPlatform: false });
    if (found?.record.digest) return found.record.digest;
    throw new BuildError('bad-argument', `reading image instance: ${(cause as Error).message}`, { cause });
  }
}
