import type { ContainerRecord, ImageRecord } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';
import type { BuildSurroundings } from './contract.ts';
import { imageNotKnown } from './find-image.ts';
import { type ImageDocuments, ImageFamily } from './image-family.ts';
import { ImageRelations } from './image-relations.ts';
import {
  planRemovals,
  type RemovalOutcome,
  type RemovalPlan,
  type RemovalReport,
  type RemovalRequest,
  type RemoveImageOptions,
} from './removal-plan.ts';

/**
 * Removes images, each as {@link removeImage} does and in this order, all under one lock.
 * @returns what came of each request
 */
export async function removeImages(
  surroundings: BuildSurroundings,
  requests: readonly RemovalRequest[],
  options: RemoveImageOptions = {},
): Promise<readonly RemovalOutcome[]> {
  const { store, signal } = surroundings;
  if (requests.length === 0) return [];
  let snapshot = await readSnapshot(surroundings);
  const stuck = options.force
    ? await removeContainersOf(surroundings, requests, snapshot, options)
    : new Map<string, unknown>();
  for (let attempt = 1; ; attempt += 1) {
    let plan: RemovalPlan | undefined;
    await store.changeImages(
      (images, containers) => {
        // Documents of images that somebody made meanwhile are read without the lock; not for ever.
        if (attempt < ATTEMPTS && images.some(({ id }) => !snapshot.documents.has(id))) return {};
        const own = new Set(images.map(({ id }) => id));
        const others = snapshot.images.filter(({ id, readOnly }) => readOnly && !own.has(id));
        const users = usersOf(containers);
        const inUse = (image: ImageRecord) => reasonToStay(users.get(image.id), stuck);
        plan = planIn([...images, ...others], snapshot, requests, inUse, options);
        return plan.changes;
      },
      { signal },
    );
    if (plan) return plan.outcomes;
    snapshot = await readSnapshot(surroundings);
  }
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
): Promise<readonly RemovalReport[]> {
  const [outcome] = await removeImages(surroundings, [{ image, referencedBy }], options);
  if (outcome?.kind === 'failed') throw outcome.error;
  if (outcome?.kind !== 'done') throw imageNotKnown(image.id);
  return outcome.reports;
}

const ATTEMPTS = 5;

interface Snapshot {
  readonly images: readonly ImageRecord[];
  readonly documents: ReadonlyMap<string, ImageDocuments>;
}

async function readSnapshot({ store }: BuildSurroundings): Promise<Snapshot> {
  const images = await store.images.list();
  return { images, documents: await new ImageRelations(store, images).documents() };
}

function planIn(
  images: readonly ImageRecord[],
  { documents }: Snapshot,
  requests: readonly RemovalRequest[],
  inUse: (image: ImageRecord) => unknown,
  options: RemoveImageOptions,
): RemovalPlan {
  const family = new ImageFamily(images, ({ id }) => documents.get(id) ?? {});
  const byId = new Map(images.map((image) => [image.id, image]));
  return planRemovals(requests, { images: byId, family, inUse }, options);
}

/** @returns why containers could not be removed, by their ids */
async function removeContainersOf(
  { store }: BuildSurroundings,
  requests: readonly RemovalRequest[],
  snapshot: Snapshot,
  options: RemoveImageOptions,
): Promise<ReadonlyMap<string, unknown>> {
  const { changes } = planIn(snapshot.images, snapshot, requests, () => undefined, options);
  const doomed = new Set(changes.remove);
  const users = (await store.containers.list()).filter(({ imageId }) => doomed.has(imageId));
  if (users.length === 0) return new Map();
  const failures = await store.deleteContainers(users.map(({ id }) => id));
  return new Map(failures.map(({ id, error }) => [id, error]));
}

/** One container of each image that has any. */
function usersOf(containers: readonly ContainerRecord[]): ReadonlyMap<string, string> {
  return new Map(containers.toReversed().map(({ id, imageId }) => [imageId, id]));
}

function reasonToStay(user: string | undefined, stuck: ReadonlyMap<string, unknown>): unknown {
  if (user === undefined) return undefined;
  return (
    stuck.get(user) ??
    new BuildError(
      'bad-argument',
      `image used by ${user}: image is in use by a container: consider listing external containers and force-removing image`,
    )
  );
}
