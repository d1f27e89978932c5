import { formatReference, parseReference, withDefaultTag } from '../../image/reference.ts';
import { StoreError } from '../../store/error.ts';
import type { ImageRecord } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';
import type { BuildSurroundings } from './contract.ts';
import { ImageRelations } from './image-relations.ts';

/** What became of one image. */
export interface RemovalReport {
  readonly id: string;
  readonly untagged: readonly string[];
  readonly removed: boolean;
}

/** Options of {@link removeImage}. */
export interface RemoveImageOptions {
  /** Remove containers that use it, and all of its names. */
  readonly force?: boolean;
  /** Keep the dangling images that it was built on. */
  readonly keepParents?: boolean;
}

/**
 * Removes an image as libimage does: found by one of several names, it only loses that name; else it goes, with the
 * dangling images it was built on.
 * @param referencedBy the full name or id it was found by; empty: any
 * @throws BuildError where a container uses it or an id is given of an image with several names
 */
export async function removeImage(
  surroundings: BuildSurroundings,
  image: ImageRecord,
  referencedBy: string,
  options: RemoveImageOptions = {},
): Promise<RemovalReport[]> {
  const { store } = surroundings;
  if (image.readOnly) throw new BuildError('bad-argument', `cannot remove read-only image "${image.id}"`);
  const untagged: string[] = [];
  if (referencedBy !== '' && image.names.length !== 1) {
    const byId = image.id.startsWith(referencedBy) || referencedBy.startsWith('sha256:');
    if (byId && image.names.length > 1 && !options.force)
      throw new BuildError(
        'bad-argument',
        `unable to delete image "${image.id}" by ID with more than one tag ([${image.names.join(' ')}]): please force removal`,
      );
    if (!byId) {
      const name = formatReference(withDefaultTag(parseReference(referencedBy)));
      if (!image.names.includes(name)) throw new BuildError('bad-argument', `${name}: tag not known`);
      await store.images.removeNames(image.id, [name]);
      untagged.push(referencedBy);
      if (image.names.length > 1) return [{ id: image.id, untagged, removed: false }];
    }
  }
  return removeWhole(surroundings, image, untagged, options);
}

async function removeWhole(
  surroundings: BuildSurroundings,
  image: ImageRecord,
  untagged: readonly string[],
  options: RemoveImageOptions,
): Promise<RemovalReport[]> {
  const { store } = surroundings;
  if (options.force)
    for (const container of await store.containers.list())
      if (container.imageId === image.id) await store.deleteContainer(container.id);
  const relations = new ImageRelations(store, await store.images.list());
  const hasChildren = (await relations.children(image)).length > 0;
  const parent = await relations.parent(image);
  try {
    await store.deleteImage(image.id, { signal: surroundings.signal });
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== 'in-use') throw cause;
    throw new BuildError(
      'bad-argument',
      `${cause.message}: consider listing external containers and force-removing image`,
      { cause },
    );
  }
  const names = image.names.filter((name) => !untagged.includes(name));
  const report = { id: image.id, untagged: [...untagged, ...names], removed: !hasChildren };
  if (!parent || options.keepParents) return [report];
  const after = new ImageRelations(store, await store.images.list());
  if (!(await after.isDangling(parent))) return [report];
  return [report, ...(await removeWhole(surroundings, parent, [], options))];
}
