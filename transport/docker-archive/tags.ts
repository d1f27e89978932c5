import { openArchive } from '../archive/plain-file.ts';
import type { ImageReference, TransportContext } from '../contract.ts';
import { chooseItem, readItems } from './items.ts';
import { DockerArchiveReference } from './reference.ts';

/** The names of an archive's images as they stand in it; of the one that the reference names, where it names one. */
export async function listArchiveTags(
  reference: ImageReference,
  context: TransportContext,
): Promise<readonly string[]> {
  if (!(reference instanceof DockerArchiveReference)) throw new Error('not a docker-archive reference');
  await using archive = await openArchive(reference.path, context);
  const items = await readItems(archive.members);
  if (reference.named || reference.position !== undefined) chooseItem(items, reference);
  return items.flatMap(({ repoTags }, at) => (repoTags.length ? repoTags : [`@${at}`]));
}
