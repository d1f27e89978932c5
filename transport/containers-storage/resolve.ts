import type { Digest } from '../../image/digest.ts';
import { ImageError } from '../../image/error.ts';
import { guessManifestMediaType, parseManifest } from '../../image/manifest.ts';
import { choosePlatform, type Platform } from '../../image/platform.ts';
import { formatReference, type NamedReference, parseReference, repositoryOf } from '../../image/reference.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { TransportError } from '../error.ts';
import { manifestKey } from './big-data.ts';
import { formatNameAndId } from './name.ts';
import type { StorageReference } from './reference.ts';

/**
 * Finds the image a reference names: by id, by exact name, or by a digest under any name of its repository
 * (storage_reference.go, resolveImage).
 * @throws TransportError `not-found`
 */
export async function resolveImage(
  reference: StorageReference,
  store: Store,
  platform: Platform,
): Promise<{ readonly image: ImageRecord; readonly reference: StorageReference }> {
  const full = await completeReference(reference, store);
  const { named, id } = full.name;
  const image = id === undefined ? await findByName(store, named!, platform) : await store.images.get(id);
  if (image === undefined || (named !== undefined && !hasNameOf(image, named))) throw notFound(full);
  return { image, reference: full.in(store, { ...full.name, id: image.id }) };
}

/** Decides what could be an id or a name by looking whether such an image is there. */
export async function completeReference(
  reference: StorageReference,
  store: Store,
): Promise<StorageReference> {
  const { named, possibleId, location } = reference.name;
  if (possibleId === undefined) return reference.in(store);
  const image = await store.images.get(possibleId);
  const isId = image?.id.startsWith(possibleId) === true;
  const aloneAsName = named !== undefined && formatNameAndId(named, undefined).includes(`/${possibleId}:`);
  if (isId) return reference.in(store, { location, ...(aloneAsName ? {} : { named }), id: image.id });
  if (aloneAsName) return reference.in(store, { location, named });
  throw new TransportError(
    'bad-reference',
    `${JSON.stringify(possibleId)} does not look like an image ID or digest`,
  );
}

async function findByName(
  store: Store,
  named: NamedReference,
  platform: Platform,
): Promise<ImageRecord | undefined> {
  const exact = await store.images.get(formatReference(named));
  if (exact !== undefined || named.digest === undefined) return exact;
  let found: ImageRecord | undefined;
  for (const image of await store.images.byDigest(named.digest)) {
    if (!hasNameOf(image, named)) continue;
    if (found === undefined || (await isInstanceFor(store, image, named.digest, platform))) found = image;
  }
  return found;
}

function hasNameOf(image: ImageRecord, named: NamedReference): boolean {
  const repository = repositoryOf(named);
  return image.names.some((name) => {
    try {
      return repositoryOf(parseReference(name)) === repository;
    } catch (error) {
      if (error instanceof ImageError) return false;
      throw error;
    }
  });
}

/** True where the digest is that of an index, and the image is the child of it for this platform. */
async function isInstanceFor(
  store: Store,
  image: ImageRecord,
  digest: Digest,
  platform: Platform,
): Promise<boolean> {
  const bytes = await store.images.bigData(image.id, manifestKey(digest));
  const mediaType = bytes && guessManifestMediaType(bytes);
  if (!bytes || !mediaType) return false;
  const manifest = parseManifest(bytes, mediaType);
  if (manifest.kind !== 'index') return false;
  const chosen = choosePlatform(manifest.manifests, platform);
  return (
    chosen !== undefined && (await store.images.bigData(image.id, manifestKey(chosen.digest))) !== undefined
  );
}

function notFound(reference: StorageReference): TransportError {
  return new TransportError(
    'not-found',
    `reference ${JSON.stringify(reference.within)} does not resolve to an image ID`,
    { hint: 'list what is there with: buildah images' },
  );
}
