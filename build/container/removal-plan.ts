import { formatReference, parseReference, withDefaultTag } from '../../image/reference.ts';
import type { ImageChanges, ImageRecord } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';
import type { ImageFamily } from './image-family.ts';

/** What became of one image. */
export interface RemovalReport {
  readonly id: string;
  readonly untagged: readonly string[];
  readonly removed: boolean;
}

/** How images are removed. */
export interface RemoveImageOptions {
  /** Remove containers that use it, and all of its names. */
  readonly force?: boolean;
  /** Keep the dangling images that it was built on. */
  readonly keepParents?: boolean;
}

/** An image that is to go. */
export interface RemovalRequest {
  readonly image: ImageRecord;
  /** The full name or id it was found by; empty: any. */
  readonly referencedBy: string;
}

/** What comes of one request; `gone`: the image went with one before it, or somebody else removed it. */
export type RemovalOutcome =
  | { readonly kind: 'done'; readonly reports: readonly RemovalReport[] }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'gone' };

/** The state that requests are applied to, one after another. */
export interface RemovalState {
  /** All images, by id; those that go are taken out. */
  readonly images: Map<string, ImageRecord>;
  readonly family: ImageFamily;
  /** Why an image has to stay; undefined where nothing uses it. */
  readonly inUse: (image: ImageRecord) => unknown;
}

/** The changes that some requests amount to, and what is to be told of each. */
export interface RemovalPlan {
  readonly changes: ImageChanges & { readonly remove: readonly string[] };
  readonly outcomes: readonly RemovalOutcome[];
}

/**
 * Plans removals as libimage does them: an image found by one of several names only loses that name; else it goes, with
 * the dangling images it was built on. A request that fails stops no other.
 */
export function planRemovals(
  requests: readonly RemovalRequest[],
  state: RemovalState,
  options: RemoveImageOptions,
): RemovalPlan {
  const removeNames: { id: string; names: readonly string[] }[] = [];
  const remove: string[] = [];
  const one = ({ image: { id }, referencedBy }: RemovalRequest): readonly RemovalReport[] | undefined => {
    const image = state.images.get(id);
    if (!image) return undefined;
    const name = nameToLose(image, referencedBy, options);
    if (name === undefined) return removeWhole(image, state, options, remove);
    removeNames.push({ id, names: [name] });
    state.images.set(id, { ...image, names: image.names.filter((other) => other !== name) });
    return [{ id, untagged: [referencedBy], removed: false }];
  };
  const outcomes = requests.map((request): RemovalOutcome => {
    try {
      const reports = one(request);
      return reports ? { kind: 'done', reports } : { kind: 'gone' };
    } catch (error) {
      return { kind: 'failed', error };
    }
  });
  return { changes: { removeNames, remove }, outcomes };
}

/**
 * The one of several names that an image is to lose; undefined where the image is to go.
 * @throws BuildError where an id is given of an image with several names, or a name that it does not have
 */
function nameToLose(
  image: ImageRecord,
  referencedBy: string,
  { force }: RemoveImageOptions,
): string | undefined {
  if (image.readOnly) throw new BuildError('bad-argument', `cannot remove read-only image "${image.id}"`);
  if (referencedBy === '' || image.names.length === 1) return undefined;
  const byId = image.id.startsWith(referencedBy) || referencedBy.startsWith('sha256:');
  if (byId && image.names.length > 1 && !force)
    throw new BuildError(
      'bad-argument',
      `unable to delete image "${image.id}" by ID with more than one tag ([${image.names.join(' ')}]): please force removal`,
    );
  if (byId) return undefined;
  const name = formatReference(withDefaultTag(parseReference(referencedBy)));
  if (!image.names.includes(name)) throw new BuildError('bad-argument', `${name}: tag not known`);
  return name;
}

/** @throws what `inUse` gives */
function removeWhole(
  image: ImageRecord,
  state: RemovalState,
  options: RemoveImageOptions,
  remove: string[],
): RemovalReport[] {
  const reports: RemovalReport[] = [];
  for (let next: ImageRecord | undefined = image; next; ) {
    const { id, names } = next;
    const reason = state.inUse(next);
    if (reason !== undefined) throw reason;
    reports.push({ id, untagged: names, removed: !state.family.hasChildren(id) });
    const parent = state.family.parent(id);
    remove.push(id);
    state.images.delete(id);
    state.family.remove(id);
    const below = parent && !options.keepParents ? state.images.get(parent.id) : undefined;
    next = below && !below.readOnly && state.family.isDangling(below) ? below : undefined;
  }
  return reports;
}
