import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Descriptor } from '../../image/descriptor.ts';
import { algorithmOf, type Digest, digestOf, encodedOf } from '../../image/digest.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../image/json.ts';
import { type ImageManifest, parseManifest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { excessiveAttachments, SIGNATURE_LIMIT_BYTES } from '../../image/signature.ts';
import type { ImageDestination, StoredSignature, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { sessionOf } from './access.ts';
import { type LookasideAccess, lookasideBase, readLookaside, writeLookaside } from './lookaside.ts';
import { discardBody, readBody } from './read-body.ts';
import { DockerReference } from './reference.ts';
import { isManifestUnknown, registryError } from './registry-error.ts';
import type { Repository } from './repository.ts';

type SigstoreSignature = Extract<StoredSignature, { kind: 'sigstore' }>;

/** The tag of cosign's attachments: `sha256-<hex>.sig`. */
export function attachmentTag(digest: Digest): string {
  return `${algorithmOf(digest)}-${encodedOf(digest)}.sig`;
}

/**
 * All signatures of a manifest: from the registry's own extension or else the lookaside store, and attachments where
 * registries.d says so (containers/image docs/signature-protocols.md).
 */
export async function readSignatures(
  repository: Repository,
  digest: Digest,
  context: TransportContext,
): Promise<StoredSignature[]> {
  const places = await sessionOf(context).signaturePlaces(scopesOf(repository), 'read');
  const base = lookasideBase(places.lookaside, repository.name);
  // A store of files is read without asking the registry whether it has the extension.
  const { supportsSignatures } = await repository.client.properties(context.signal);
  const simple = supportsSignatures
    ? await readExtension(repository, digest)
    : await readLookaside(base, digest, lookasideAccess(repository, context));
  return places.attachments ? [...simple, ...(await readAttachments(repository, digest))] : [...simple];
}

export async function writeSignatures(
  destination: Pick<ImageDestination, 'signatureKinds'>,
  repository: Repository,
  digest: Digest,
  signatures: readonly StoredSignature[],
  context: TransportContext,
): Promise<void> {
  const sigstore = signatures.filter((signature) => signature.kind === 'sigstore');
  const simple = signatures.filter((signature) => signature.kind === 'simple');
  if (sigstore.length > 0) {
    if (!destination.signatureKinds.includes('sigstore'))
      throw new TransportError('unsupported', 'writing sigstore attachments is disabled by configuration', {
        hint: 'set use-sigstore-attachments: true for this registry in registries.d',
      });
    await writeAttachments(repository, digest, sigstore);
  }
  if (simple.length === 0) return;
  const { supportsSignatures } = await repository.client.properties(context.signal);
  if (supportsSignatures) return writeExtension(repository, digest, simple);
  const places = await sessionOf(context).signaturePlaces(scopesOf(repository), 'write');
  await writeLookaside(lookasideBase(places.lookaside, repository.name), digest, simple);
}

/** After a delete: the manifest's signatures in a store of files. */
export async function deleteSignatures(
  reference: DockerReference,
  digest: Digest,
  context: TransportContext,
): Promise<void> {
  const places = await sessionOf(context).signaturePlaces(reference, 'write');
  const base = lookasideBase(places.lookaside, reference.named);
  if (base.protocol === 'file:') await writeLookaside(base, digest, []);
}

function scopesOf({ name }: Repository): DockerReference {
  return DockerReference.of(name, { unknownDigest: name.tag === undefined && name.digest === undefined });
}

function lookasideAccess(repository: Repository, context: TransportContext): LookasideAccess {
  return {
    fetch: async (url, { limitBytes, signal }) => {
      const response = await repository.client.requestConfigured(url, signal);
      if (response.status !== 200) {
        await discardBody(response);
        return { status: response.status, body: new Uint8Array() };
      }
      return { status: 200, body: await readBody(response, limitBytes, 'signature') };
    },
    ...(context.signal ? { signal: context.signal } : {}),
  };
}

async function attachmentManifest(
  repository: Repository,
  digest: Digest,
): Promise<ImageManifest | undefined> {
  const tag = attachmentTag(digest);
  try {
    const { bytes, mediaType } = await repository.manifest(tag);
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind !== 'image' || manifest.format !== 'oci')
      throw new TransportError(
        'registry',
        `unexpected MIME type for sigstore attachment manifest ${repository.title}:${tag}: ${JSON.stringify(mediaType)}`,
      );
    return manifest;
  } catch (error) {
    if (isManifestUnknown(error)) return undefined;
    throw error;
  }
}

async function readAttachments(repository: Repository, digest: Digest): Promise<SigstoreSignature[]> {
  const manifest = await attachmentManifest(repository, digest);
  const layers = manifest?.layers ?? [];
  const tooMany = excessiveAttachments(layers);
  if (tooMany !== undefined)
    throw new TransportError('registry', `${repository.title}: signatures of ${digest}: ${tooMany}`);
  const signatures: SigstoreSignature[] = [];
  for (const layer of layers)
    signatures.push({
      kind: 'sigstore',
      mediaType: layer.mediaType,
      payload: await repository.readBlob(layer, SIGNATURE_LIMIT_BYTES),
      annotations: layer.annotations ?? {},
    });
  return signatures;
}

/** Adds signatures to the attachments of a manifest, whatever registries.d says. */
export async function writeAttachments(
  repository: Repository,
  digest: Digest,
  signatures: readonly SigstoreSignature[],
): Promise<void> {
  const present = await attachmentManifest(repository, digest);
  const config: JsonObject = present
    ? parseJsonObject(await repository.readBlob(present.config, SIGNATURE_LIMIT_BYTES), {
        what: 'attachment config',
      })
    : { architecture: '', os: '', config: {}, rootfs: { type: 'layers', diff_ids: [] } };
  const layers: Descriptor[] = [...(present?.layers ?? [])];
  for (const signature of signatures) {
    const layer = describe(signature.mediaType, signature.payload, signature.annotations);
    if (layers.some((known) => equalLayer(known, layer))) continue;
    await putSmallBlob(repository, layer, signature.payload);
    layers.push(layer);
  }
  const rootfs = isJsonObject(config.rootfs) ? config.rootfs : {};
  const diffIds = layers.map((layer) => layer.digest as string);
  const bytes = Buffer.from(
    JSON.stringify({ ...config, rootfs: { ...rootfs, type: 'layers', diff_ids: diffIds } }),
  );
  const descriptor = describe(MEDIA_TYPE.ociConfig, bytes);
  await putSmallBlob(repository, descriptor, bytes);
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: descriptor,
    layers,
    ...(present?.annotations ? { annotations: present.annotations } : {}),
  };
  await repository.putManifest(
    Buffer.from(JSON.stringify(manifest)),
    MEDIA_TYPE.ociManifest,
    attachmentTag(digest),
  );
}

function describe(mediaType: string, bytes: Uint8Array, annotations?: Descriptor['annotations']): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length, ...(annotations ? { annotations } : {}) };
}

function equalLayer(a: Descriptor, b: Descriptor): boolean {
  const pairs = ({ annotations }: Descriptor) => JSON.stringify(Object.entries(annotations ?? {}).sort());
  return a.mediaType === b.mediaType && a.digest === b.digest && a.size === b.size && pairs(a) === pairs(b);
}

async function putSmallBlob(
  repository: Repository,
  { digest }: Descriptor,
  bytes: Uint8Array,
): Promise<void> {
  if ((await repository.blobSize(digest)) !== undefined) return;
  const { startUpload, uploadBlob } = await import('./upload.ts');
  await uploadBlob(repository, await startUpload(repository), Readable.from([Buffer.from(bytes)]), {
    digest,
    size: bytes.length,
    offset: 0,
    retry: { retries: 3, delayMs: 500 },
  });
}

/** The X-Registry-Supports-Signatures extension (OpenShift), for simple signatures. */
async function readExtensionList(repository: Repository, digest: Digest): Promise<JsonObject[]> {
  const response = await repository.client.request({
    method: 'GET',
    target: extensionPath(repository, digest),
    ...repository.authorization,
  });
  if (response.status !== 200)
    throw await registryError(response, `downloading signatures for ${digest} in ${repository.title}`);
  const json = parseJsonObject(await readBody(response, SIGNATURE_LIMIT_BYTES, 'signature list'), {
    what: 'signature list',
  });
  return (Array.isArray(json.signatures) ? json.signatures : []).filter(isJsonObject);
}

async function readExtension(repository: Repository, digest: Digest): Promise<StoredSignature[]> {
  return (await readExtensionList(repository, digest)).filter(isAtomic).map(({ content }) => ({
    kind: 'simple',
    bytes: Buffer.from(String(content), 'base64'),
  }));
}

/** Signatures are shared there, so they are only ever added. */
async function writeExtension(
  repository: Repository,
  digest: Digest,
  signatures: readonly Extract<StoredSignature, { kind: 'simple' }>[],
): Promise<void> {
  const present = (await readExtensionList(repository, digest))
    .filter(isAtomic)
    .map(({ content }) => content);
  for (const { bytes } of signatures) {
    const content = Buffer.from(bytes).toString('base64');
    if (present.includes(content)) continue;
    const name = `${digest}@${randomBytes(16).toString('hex')}`;
    const response = await repository.client.request({
      method: 'PUT',
      target: extensionPath(repository, digest),
      body: Buffer.from(JSON.stringify({ schemaVersion: 2, name, type: 'atomic', content })),
      ...repository.authorization,
    });
    if (response.status !== 201)
      throw await registryError(response, `uploading signature to ${repository.title}`);
    await discardBody(response);
  }
}

function isAtomic(entry: JsonObject): boolean {
  return entry.schemaVersion === 2 && entry.type === 'atomic' && typeof entry.content === 'string';
}

function extensionPath({ name }: Repository, digest: Digest): string {
  return `/extensions/v2/${name.path}/signatures/${digest}`;
}
