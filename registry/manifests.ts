import type { Descriptor } from '../image/descriptor.ts';
import { algorithmOf, type Digest } from '../image/digest.ts';
import { ImageError } from '../image/error.ts';
import { MANIFEST_LIMIT_BYTES } from '../image/json.ts';
import { type Manifest, manifestDigest, matchesManifestDigest, parseManifest } from '../image/manifest.ts';
import { isForeignLayer, MEDIA_TYPE } from '../image/media-type.ts';
import { isTag } from '../image/reference.ts';
import { ProtocolError } from './error.ts';
import { answer, answerBytes, answerJson, type Exchange, methodNotAllowed, readBody } from './exchange.ts';
import type { StoredManifest } from './repositories.ts';

/** Tags that one push may set at once. */
const TAG_LIMIT = 100;

/** What names a manifest in a path. */
export interface Selector {
  readonly tag?: string;
  readonly digest?: Digest;
}

/** GET, HEAD, PUT and DELETE of `/v2/<name>/manifests/<reference>`. */
export async function handleManifest(
  exchange: Exchange,
  repository: string,
  selector: Selector,
): Promise<void> {
  switch (exchange.request.method) {
    case 'GET':
    case 'HEAD':
      return sendManifest(exchange, await find(exchange, repository, selector));
    case 'PUT':
      return putManifest(exchange, repository, selector);
    case 'DELETE':
      return deleteManifest(exchange, repository, selector);
    default:
      throw methodNotAllowed('GET, HEAD, PUT, DELETE');
  }
}

async function find(exchange: Exchange, repository: string, selector: Selector): Promise<StoredManifest> {
  const { repositories } = exchange.state;
  const digest = selector.digest ?? (await repositories.resolveTag(repository, selector.tag ?? ''));
  const manifest = digest && (await repositories.manifest(repository, digest));
  if (!manifest) throw new ProtocolError('MANIFEST_UNKNOWN', 'manifest unknown');
  return manifest;
}

function sendManifest(exchange: Exchange, { bytes, digest, mediaType }: StoredManifest): void {
  const headers = { 'content-type': mediaType, 'docker-content-digest': digest, etag: `"${digest}"` };
  const known = exchange.request.headers['if-none-match'];
  if (known !== undefined && known === headers.etag) answer(exchange, 304, headers);
  else answerBytes(exchange, bytes, headers);
}

async function putManifest(exchange: Exchange, repository: string, selector: Selector): Promise<void> {
  const { request, state } = exchange;
  const bytes = await readBody(request, MANIFEST_LIMIT_BYTES);
  const contentType = request.headers['content-type']?.split(';')[0]?.trim();
  const manifest = checkManifest(bytes, contentType);
  const digest = selector.digest ?? manifestDigest(bytes);
  if (!matchesManifestDigest(bytes, digest))
    throw new ProtocolError('DIGEST_INVALID', `the manifest does not have the digest ${digest}`);
  const tags = [...(selector.tag === undefined ? [] : [selector.tag]), ...tagParameters(exchange, selector)];
  await requireBlobs(exchange, repository, manifest);
  const subject = manifest.kind === 'schema1' ? undefined : manifest.subject?.digest;
  const referrer = subject && { subject, descriptor: referrerDescriptor(manifest, digest, bytes.length) };
  await state.repositories.putManifest(
    repository,
    bytes,
    { mediaType: manifest.mediaType, digest, ...(referrer ? { referrer } : {}) },
    tags,
  );
  answer(exchange, 201, {
    location: `/v2/${repository}/manifests/${digest}`,
    'docker-content-digest': digest,
    ...(subject ? { 'oci-subject': subject } : {}),
    ...(selector.digest && tags.length ? { 'oci-tag': tags } : {}),
  });
}

/** Tags given beside a digest: `PUT …/manifests/<digest>?tag=a&tag=b` of the coming distribution-spec 1.2. */
function tagParameters({ query }: Exchange, { digest }: Selector): string[] {
  const tags = digest === undefined ? [] : query.getAll('tag');
  if (tags.length > TAG_LIMIT)
    throw new ProtocolError('UNSUPPORTED', `more than ${TAG_LIMIT} tags at once`, { status: 414 });
  if (!tags.every(isTag)) throw new ProtocolError('TAG_INVALID', 'malformed tag');
  return tags;
}

function checkManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  try {
    const manifest = parseManifest(bytes, contentType);
    const generic = contentType === undefined || !contentType.startsWith('application/vnd.');
    if (generic || manifest.mediaType === contentType || manifest.kind === 'schema1') return manifest;
    throw new ProtocolError(
      'MANIFEST_INVALID',
      `Content-Type is ${contentType}, the manifest says ${manifest.mediaType}`,
    );
  } catch (error) {
    if (error instanceof ImageError) throw new ProtocolError('MANIFEST_INVALID', error.message);
    throw error;
  }
}

/**
 * An image must not refer to blobs that are not there. Children of an index and subjects may be missing: indexes are
 * copied sparsely, and the specification allows a subject to come later.
 */
async function requireBlobs(exchange: Exchange, repository: string, manifest: Manifest): Promise<void> {
  for (const digest of requiredBlobs(manifest)) {
    algorithmOf(digest);
    if ((await exchange.state.content.blobSize(repository, digest)) === undefined)
      throw new ProtocolError('MANIFEST_BLOB_UNKNOWN', `the manifest refers to a missing blob ${digest}`);
  }
}

function requiredBlobs(manifest: Manifest): Set<Digest> {
  if (manifest.kind === 'index') return new Set();
  if (manifest.kind === 'schema1') return new Set(manifest.fsLayers.map((layer) => layer.blobSum));
  const layers = manifest.layers.filter((layer) => !isForeignLayer(layer.mediaType) && !layer.urls?.length);
  return new Set([manifest.config, ...layers].map(({ digest }) => digest));
}

function referrerDescriptor(manifest: Manifest, digest: Digest, size: number): Descriptor {
  if (manifest.kind === 'schema1') throw new Error('schema 1 manifests have no subject');
  const artifactType =
    manifest.artifactType ?? (manifest.kind === 'image' ? manifest.config.mediaType : undefined);
  return {
    mediaType: manifest.mediaType,
    digest,
    size,
    ...(artifactType ? { artifactType } : {}),
    ...(manifest.annotations ? { annotations: manifest.annotations } : {}),
  };
}

async function deleteManifest(exchange: Exchange, repository: string, selector: Selector): Promise<void> {
  const { repositories } = exchange.state;
  const { digest, bytes } = await find(exchange, repository, selector);
  if (selector.tag !== undefined) await repositories.deleteTag(repository, selector.tag);
  else {
    const manifest = parseManifest(bytes);
    const subject = manifest.kind === 'schema1' ? undefined : manifest.subject?.digest;
    await repositories.deleteManifest(repository, digest, subject);
  }
  answer(exchange, 202);
}

/** GET of `/v2/<name>/referrers/<digest>`, with the filter `artifactType`. */
export async function handleReferrers(
  exchange: Exchange,
  repository: string,
  subject: Digest,
): Promise<void> {
  if (exchange.request.method !== 'GET' && exchange.request.method !== 'HEAD') throw methodNotAllowed('GET');
  const artifactType = exchange.query.get('artifactType');
  const all = await exchange.state.repositories.referrers(repository, subject);
  const manifests = artifactType === null ? all : all.filter((entry) => entry.artifactType === artifactType);
  answerJson(
    exchange,
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests },
    {
      'content-type': MEDIA_TYPE.ociIndex,
      ...(artifactType === null ? {} : { 'oci-filters-applied': 'artifactType' }),
    },
  );
}
