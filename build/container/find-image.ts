import { isShortName } from '../../config/short-names.ts';
import type { Platform } from '../../image/platform.ts';
import { choosePlatform } from '../../image/platform.ts';
import {
  formatReference,
  type NamedReference,
  parseReference,
  repositoryOf,
  withDefaultTag,
} from '../../image/reference.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';
import { readStoredImage } from './stored-image.ts';

/** What registries.conf says about names without a registry. */
export interface ShortNames {
  /** The alias of a repository path, if any. */
  alias(repository: string): NamedReference | undefined;
  readonly searchRegistries: readonly string[];
}

/** An image found in local storage, and the name it was found by. */
export interface FoundImage {
  readonly record: ImageRecord;
  /** The full name that matched, or the id as given. */
  readonly resolvedName: string;
}

export interface FindOptions {
  readonly shortNames: ShortNames;
  /** Where a name stands for a manifest list, the instance for this platform is meant; absent: the list itself. */
  readonly platform?: Platform;
}

/**
 * Finds a local image as containers/common's libimage does: full ids, then the names that a short name may stand for
 * (aliases, localhost, the search registries, docker.io), then id prefixes, then any repository of that last name.
 */
export async function findImage(
  store: Store,
  name: string,
  options: FindOptions,
): Promise<FoundImage | undefined> {
  const plain = withoutTagBesideDigest(name);
  const byDigest = plain.startsWith('sha256:');
  const id = byDigest ? plain.slice('sha256:'.length) : plain;
  if (byDigest || /^[0-9a-f]{64}$/.test(id)) {
    const record = await store.images.get(id);
    return record && (await chosen(store, { record, resolvedName: plain }, options));
  }
  for (const candidate of localCandidates(plain, options.shortNames)) {
    const record = await recordOfName(store, candidate);
    if (record) return chosen(store, { record, resolvedName: formatReference(candidate) }, options);
  }
  const byPrefix = await store.images.get(plain);
  if (byPrefix) return chosen(store, { record: byPrefix, resolvedName: plain }, options);
  const fuzzy = await recordOfLastName(store, plain);
  return fuzzy && chosen(store, fuzzy, options);
}

/** As {@link findImage}. @throws BuildError `no-such-container` never; `pull-failed` with Buildah's wording where there is none */
export async function requireImage(store: Store, name: string, options: FindOptions): Promise<FoundImage> {
  const found = await findImage(store, name, options);
  if (!found) throw imageNotKnown(name);
  return found;
}

export function imageNotKnown(name: string): BuildError {
  return new BuildError('pull-failed', `${name}: image not known`);
}

/** The full names that a name may stand for locally, the first one first. */
export function localCandidates(name: string, shortNames: ShortNames): NamedReference[] {
  let normalised: NamedReference;
  try {
    normalised = parseReference(name);
  } catch {
    return [];
  }
  if (!isShortName(name)) return [withDefaultTag(normalised)];
  const { tag, digest } = normalised;
  const bare = name.replace(/@.*$/, '').replace(/:[^/]*$/, '');
  const selector = { ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
  const alias = shortNames.alias(bare);
  const registries = ['localhost', ...shortNames.searchRegistries];
  return [
    ...(alias ? [{ domain: alias.domain, path: alias.path, ...selector }] : []),
    ...registries.map((registry) => parseReference(`${registry}/${name}`)),
    normalised,
  ].map(withDefaultTag);
}

async function recordOfName(store: Store, name: NamedReference): Promise<ImageRecord | undefined> {
  const exact = await store.images.get(formatReference(name));
  if (exact || name.digest === undefined) return exact;
  const repository = repositoryOf(name);
  const records = await store.images.byDigest(name.digest);
  return records.find((record) => record.names.some((entry) => repositoryOfName(entry) === repository));
}

function repositoryOfName(name: string): string | undefined {
  try {
    return repositoryOf(parseReference(name));
  } catch {
    return undefined;
  }
}

/** `img` also means `quay.io/team/img:latest` where that is here: the repository ends in the same components. */
async function recordOfLastName(store: Store, name: string): Promise<FoundImage | undefined> {
  if (!isShortName(name)) return undefined;
  let wanted: NamedReference;
  try {
    wanted = withDefaultTag(parseReference(name));
  } catch {
    return undefined;
  }
  const bare = name.replace(/@.*$/, '').replace(/:[^/]*$/, '');
  for (const record of await store.images.list()) {
    if (wanted.digest !== undefined && !hasDigest(record, wanted.digest)) continue;
    for (const entry of record.names) {
      const repository = repositoryOfName(entry);
      if (repository === undefined || !`/${repository}`.endsWith(`/${bare}`)) continue;
      if (wanted.digest === undefined && parseReference(entry).tag !== wanted.tag) continue;
      return { record, resolvedName: wanted.digest ? `${repository}@${wanted.digest}` : entry };
    }
  }
  return undefined;
}

function hasDigest(record: ImageRecord, digest: string): boolean {
  return record.digest === digest || Object.values(record.bigDataDigests).some((entry) => entry === digest);
}

/** Replaces a manifest list by its local instance for the platform; undefined where none is here. */
async function chosen(
  store: Store,
  found: FoundImage,
  options: FindOptions,
): Promise<FoundImage | undefined> {
  if (!options.platform) return found;
  const image = await readStoredImage(store, found.record).catch(() => undefined);
  if (image?.manifest.kind !== 'index') return found;
  const instance = choosePlatform(image.manifest.manifests, options.platform);
  const records = instance ? await store.images.byDigest(instance.digest) : [];
  const record = records.find((entry) => entry.id !== found.record.id) ?? records[0];
  return record && record.id !== found.record.id ? { ...found, record } : found;
}

/** `name:tag@digest` means the digest; the tag is dropped, as Docker does. */
export function withoutTagBesideDigest(name: string): string {
  const at = name.indexOf('@');
  if (at < 0) return name;
  const colon = name.lastIndexOf(':', at);
  return colon > name.lastIndexOf('/', at) ? name.slice(0, colon) + name.slice(at) : name;
}
