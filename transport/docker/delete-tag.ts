import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Digest, digestOf } from '../../image/digest.ts';
import { type ManifestDocument, manifestDigest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import type { TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { retryPolicy } from './access.ts';
import { discardBody } from './read-body.ts';
import type { DockerReference } from './reference.ts';
import { registryError } from './registry-error.ts';
import { openRepository, type Repository } from './repository.ts';
import { listTagsOf } from './tags.ts';
import { startUpload, uploadBlob } from './upload.ts';

/** How a tag went away: by the registry's own delete, or by way of a manifest that was made to be deleted. */
export type TagRemoval = 'api' | 'dummy';

/** How registries say that they delete no single tags; 404 is one of them, since the tag was just read. */
const NO_TAG_DELETE = [400, 404, 405, 415, 501];

/**
 * Removes a tag alone: the manifest and its other tags stay. Registries without that API get a manifest of its own
 * under the tag, which is then deleted by its digest. Where a registry removes the manifest with the tag, the other
 * tags that went with it are put back, and a warning says so.
 * @throws TransportError `not-found`, `unsupported` where the registry deletes nothing, `denied`, ...
 */
export async function deleteRegistryTag(
  reference: DockerReference,
  context: TransportContext,
): Promise<TagRemoval> {
  const { tag } = reference.named;
  if (tag === undefined)
    throw new TransportError('bad-reference', `${reference.within} has no tag to remove`);
  const repository = await openRepository(reference.named, context, '*');
  const document = await repository.manifest(tag);
  const before = await tagsOf(repository);
  const how = (await deleteByApi(repository, tag)) ? 'api' : 'dummy';
  if (how === 'dummy') await deleteByDummy(repository, tag, document, context);
  await restoreSiblings(repository, tag, document, before, context);
  return how;
}

async function deleteByApi(repository: Repository, tag: string): Promise<boolean> {
  const response = await repository.send({ method: 'DELETE', target: `manifests/${tag}` });
  if (response.status >= 200 && response.status < 300) {
    await discardBody(response);
    return true;
  }
  const error = await registryError(response, `removing tag ${tag} of ${repository.title}`);
  if (NO_TAG_DELETE.includes(response.status)) return false;
  throw error;
}

/** The tag moves only when the registry has shown that it deletes by digest: else it would stay on the dummy. */
async function deleteByDummy(
  repository: Repository,
  tag: string,
  document: ManifestDocument,
  context: TransportContext,
): Promise<void> {
  const trial = await makeDummy(repository, context);
  await repository.putManifest(trial.bytes, trial.mediaType, trial.digest);
  await deleteDigest(repository, tag, trial.digest);
  const dummy = await makeDummy(repository, context);
  await repository.putManifest(dummy.bytes, dummy.mediaType, tag);
  try {
    await deleteDigest(repository, tag, dummy.digest);
  } catch (error) {
    await repository.putManifest(document.bytes, document.mediaType, tag);
    throw error;
  }
  if ((await repository.manifestDigest(tag)) === undefined) return;
  await repository.putManifest(document.bytes, document.mediaType, tag);
  throw new TransportError(
    'unsupported',
    `${repository.title}: the registry keeps tag ${tag} when its manifest is deleted`,
  );
}

async function deleteDigest(repository: Repository, tag: string, digest: Digest): Promise<void> {
  const response = await repository.send({ method: 'DELETE', target: `manifests/${digest}` });
  if (response.status >= 200 && response.status < 300) return discardBody(response);
  const error = await registryError(response, `removing tag ${tag} of ${repository.title}`);
  if (![400, 404, 405, 501].includes(response.status)) throw error;
  throw new TransportError('unsupported', error.message, {
    cause: error,
    facts: error.facts,
    hint: 'the registry allows no deletes; docker-registry needs REGISTRY_STORAGE_DELETE_ENABLED=true',
  });
}

/** An image without layers that exists nowhere else, so that deleting it touches no other tag. */
async function makeDummy(
  repository: Repository,
  context: TransportContext,
): Promise<ManifestDocument & { readonly digest: Digest }> {
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'unknown',
      os: 'unknown',
      config: { Labels: { 'slipway.removed-tag': randomUUID() } },
      rootfs: { type: 'layers', diff_ids: [] },
    }),
  );
  const digest = digestOf(config);
  const session = await startUpload(repository, context.signal);
  await uploadBlob(repository, session, Readable.from([config]), {
    digest,
    size: config.length,
    offset: 0,
    retry: retryPolicy(context.docker),
    ...(context.signal ? { signal: context.signal } : {}),
  });
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.dockerManifest,
      config: { mediaType: MEDIA_TYPE.dockerConfig, digest, size: config.length },
      layers: [],
    }),
  );
  return { bytes, mediaType: MEDIA_TYPE.dockerManifest, digest: digestOf(bytes) };
}

/** Undefined where the registry does not tell. */
async function tagsOf(repository: Repository): Promise<readonly string[] | undefined> {
  try {
    return await listTagsOf(repository);
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    return error.code === 'not-found' ? [] : undefined;
  }
}

async function restoreSiblings(
  repository: Repository,
  tag: string,
  { bytes, mediaType }: ManifestDocument,
  before: readonly string[] | undefined,
  context: TransportContext,
): Promise<void> {
  const digest = manifestDigest(bytes);
  if ((await repository.manifestDigest(digest)) !== undefined) return;
  const after = new Set(await tagsOf(repository));
  const lost = (before ?? []).filter((name) => name !== tag && !after.has(name));
  for (const name of lost) await repository.putManifest(bytes, mediaType, name);
  if (lost.length > 0)
    context.onWarning?.(
      `${repository.title}: the registry removed ${digest} with its tags; put back: ${lost.join(', ')}`,
    );
  else if (before === undefined)
    context.onWarning?.(
      `${repository.title}: the registry removed ${digest} with the tag, and does not tell which other tags it had`,
    );
}
