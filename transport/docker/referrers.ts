import type { Descriptor } from '../../image/descriptor.ts';
import { algorithmOf, type Digest, digestOf, encodedOf, parseDigest } from '../../image/digest.ts';
import { MANIFEST_LIMIT_BYTES } from '../../image/json.ts';
import { type ImageManifest, type Manifest, parseManifest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { TransportError } from '../error.ts';
import { pages } from './pages.ts';
import { discardBody, readBody } from './read-body.ts';
import { isManifestUnknown, registryError } from './registry-error.ts';
import type { Repository } from './repository.ts';

/**
 * What refers to a manifest: by the referrers API, else by the tag `<algorithm>-<hex>` (distribution-spec 1.1,
 * "Listing Referrers" and "Referrers Tag Schema").
 */
export async function listReferrersOf(
  repository: Repository,
  subject: Digest,
  artifactType?: string,
): Promise<readonly Descriptor[]> {
  parseDigest(subject);
  const found =
    (await referrersByApi(repository, subject, artifactType)) ?? (await referrersByTag(repository, subject));
  return artifactType === undefined ? found : found.filter((entry) => entry.artifactType === artifactType);
}

/** Undefined where the registry has no referrers API. */
async function referrersByApi(
  repository: Repository,
  subject: Digest,
  artifactType: string | undefined,
): Promise<Descriptor[] | undefined> {
  const what = `listing referrers of ${subject} in ${repository.title}`;
  const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType })}`;
  const prefix = `/v2/${repository.name.path}/`;
  const fetch = (target: string) =>
    repository.send({
      method: 'GET',
      target: target.startsWith(prefix) ? target.slice(prefix.length) : target,
      headers: { accept: MEDIA_TYPE.ociIndex },
    });
  const found: Descriptor[] = [];
  let page = 0;
  for await (const response of pages(`${prefix}referrers/${subject}${query}`, fetch, what)) {
    const type = response.header('content-type')?.split(';')[0]?.trim();
    const foreign = response.status === 200 && type !== MEDIA_TYPE.ociIndex;
    if (page === 0 && ([400, 404, 405, 501].includes(response.status) || foreign)) {
      await discardBody(response);
      return undefined;
    }
    if (response.status !== 200) throw await registryError(response, what);
    const index = parseManifest(await readBody(response, MANIFEST_LIMIT_BYTES, 'referrers list'), type);
    if (index.kind !== 'index') throw new TransportError('registry', `${what}: the answer is no index`);
    found.push(...index.manifests);
    page += 1;
  }
  return found;
}

async function referrersByTag(repository: Repository, subject: Digest): Promise<readonly Descriptor[]> {
  return (await readFallbackIndex(repository, subject))?.manifests ?? [];
}

async function readFallbackIndex(repository: Repository, subject: Digest) {
  try {
    const { bytes, mediaType } = await repository.manifest(fallbackTag(subject));
    const manifest = parseManifest(bytes, mediaType);
    return manifest.kind === 'index' ? manifest : undefined;
  } catch (error) {
    if (isManifestUnknown(error)) return undefined;
    throw error;
  }
}

/** The tag that lists the referrers of a manifest in registries without the API. */
export function fallbackTag(subject: Digest): string {
  return `${algorithmOf(subject)}-${encodedOf(subject).slice(0, 64)}`;
}

/**
 * After a manifest with a subject was pushed to a registry that did not say `OCI-Subject`: adds it to the fallback
 * tag. Two writers at once may lose an entry, which the schema cannot prevent.
 */
export async function addToFallbackTag(
  repository: Repository,
  bytes: Uint8Array,
  manifest: Manifest,
): Promise<void> {
  if (manifest.kind === 'schema1' || !manifest.subject) return;
  const { digest: subject } = manifest.subject;
  const digest = digestOf(bytes);
  const present = (await readFallbackIndex(repository, subject))?.manifests ?? [];
  if (present.some((entry) => entry.digest === digest)) return;
  const index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: [...present, describe(manifest, digest, bytes.length)],
  };
  await repository.putManifest(Buffer.from(JSON.stringify(index)), MEDIA_TYPE.ociIndex, fallbackTag(subject));
}

/** Takes a deleted manifest out of its subject's fallback tag, where there is one. */
export async function removeFromFallbackTag(
  repository: Repository,
  digest: Digest,
  manifest: Manifest,
): Promise<void> {
  if (manifest.kind === 'schema1' || !manifest.subject) return;
  const { digest: subject } = manifest.subject;
  const present = await readFallbackIndex(repository, subject);
  if (!present?.manifests.some((entry) => entry.digest === digest)) return;
  const index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: present.manifests.filter((entry) => entry.digest !== digest),
  };
  await repository.putManifest(Buffer.from(JSON.stringify(index)), MEDIA_TYPE.ociIndex, fallbackTag(subject));
}

function describe(
  manifest: Exclude<Manifest, { kind: 'schema1' }>,
  digest: Digest,
  size: number,
): Descriptor {
  const artifactType = manifest.artifactType ?? (manifest as Partial<ImageManifest>).config?.mediaType;
  return {
    mediaType: manifest.mediaType,
    digest,
    size,
    ...(artifactType ? { artifactType } : {}),
    ...(manifest.annotations ? { annotations: manifest.annotations } : {}),
  };
}
