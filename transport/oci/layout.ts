import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, encodedOf, parseDigest } from '../../image/digest.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../image/json.ts';
import { parseDescriptor } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { TransportError } from '../error.ts';
import type { LayoutSelector } from './name.ts';

export const REF_NAME = 'org.opencontainers.image.ref.name';
/** index.json lists whole repositories, so it may be larger than a manifest. */
export const LAYOUT_INDEX_LIMIT_BYTES = 64 * 1024 * 1024;

/** Where the files of an OCI layout are: a directory, or members of an archive. */
export interface LayoutFiles extends AsyncDisposable {
  /** For messages. */
  readonly where: string;
  readIndex(): Promise<Uint8Array>;
  /** @throws TransportError `not-found` */
  readBlob(digest: Digest, limitBytes: number, what: string): Promise<Uint8Array>;
  openBlob(digest: Digest, offset: number): Promise<BlobStream>;
}

/** index.json with everything it holds, and its descriptors parsed. */
export interface LayoutIndex {
  readonly json: JsonObject;
  readonly manifests: readonly Descriptor[];
}

/** `algorithm/encoded` below `blobs`; the digest is checked again, since it becomes a path. */
export function blobPathOf(digest: Digest): string {
  parseDigest(digest);
  return `${digest.slice(0, digest.indexOf(':'))}/${encodedOf(digest)}`;
}

/** @throws ImageError for malformed JSON or descriptors, TransportError `bad-layout` */
export function parseLayoutIndex(bytes: Uint8Array, where: string): LayoutIndex {
  const json = parseJsonObject(bytes, { what: `${where}/index.json`, limitBytes: LAYOUT_INDEX_LIMIT_BYTES });
  const list: JsonValue = json.manifests ?? [];
  if (!Array.isArray(list))
    throw new TransportError('bad-layout', `${where}/index.json: manifests is not an array`);
  return { json, manifests: list.map((entry) => parseDescriptor(entry, 'manifests')) };
}

/** The names in index.json, sorted. */
export function layoutNames({ manifests }: LayoutIndex): readonly string[] {
  return [...new Set(manifests.flatMap((entry) => entry.annotations?.[REF_NAME] || []))].sort();
}

const SUPPORTED = [
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.dockerList,
] as readonly string[];

/**
 * The position in index.json of the image that the selector names.
 * @throws TransportError `not-found`, `bad-reference` when several images are there and none is named
 */
export function selectPosition(index: LayoutIndex, selector: LayoutSelector, where: string): number {
  const { manifests } = index;
  if (selector.position !== undefined) {
    if (selector.position < manifests.length) return selector.position;
    throw new TransportError(
      'not-found',
      `index ${selector.position} is too large, only ${manifests.length} entries available in ${where}`,
    );
  }
  if (selector.digest !== undefined) return byDigest(manifests, selector.digest, where);
  if (selector.name !== '') return byName(manifests, selector.name, where);
  if (manifests.length === 1) return 0;
  throw new TransportError('bad-reference', `more than one image in oci, choose an image (${where})`, {
    hint: manifests.length
      ? `it has ${manifests.map(({ annotations }, at) => annotations?.[REF_NAME] ?? `@${at}`).join(', ')}`
      : 'its index.json is empty',
  });
}

function byDigest(manifests: readonly Descriptor[], digest: Digest, where: string): number {
  const found = manifests.findIndex((entry) => entry.digest === digest);
  if (found >= 0) return found;
  throw new TransportError('not-found', `no descriptor with digest ${digest} in ${where}`, {
    facts: { imageNotFound: true },
  });
}

function byName(manifests: readonly Descriptor[], name: string, where: string): number {
  const named = manifests.flatMap((entry, at) => (entry.annotations?.[REF_NAME] === name ? [at] : []));
  const found = named.find((at) => SUPPORTED.includes((manifests[at] as Descriptor).mediaType));
  if (found !== undefined) return found;
  if (named.length)
    throw new TransportError(
      'bad-layout',
      `reference ${JSON.stringify(name)} matches unsupported manifest MIME types ${named.map((at) => JSON.stringify((manifests[at] as Descriptor).mediaType)).join(' ')}`,
    );
  throw new TransportError(
    'not-found',
    `no descriptor found for reference ${JSON.stringify(name)} in ${where}`,
    {
      facts: { reference: name, imageNotFound: true },
    },
  );
}

/**
 * index.json with one more image: a name moves here from the entry that has it, and an unnamed entry of the same
 * digest is replaced (containers/image, oci/layout addManifest). Everything else stays as it was.
 */
export function addToIndex(json: JsonObject, entry: JsonObject): JsonObject {
  const name = nameOf(entry);
  let manifests = (Array.isArray(json.manifests) ? json.manifests : []).map((item) =>
    name !== undefined && isJsonObject(item) && nameOf(item) === name ? withoutName(item) : item,
  );
  const same = manifests.findIndex(
    (item) => isJsonObject(item) && item.digest === entry.digest && nameOf(item) === undefined,
  );
  if (same >= 0) manifests = manifests.with(same, entry);
  else if (
    name !== undefined ||
    !manifests.some((item) => isJsonObject(item) && item.digest === entry.digest)
  )
    manifests = [...manifests, entry];
  return { ...json, manifests };
}

function nameOf(entry: JsonObject): string | undefined {
  const annotations = entry.annotations;
  const name = isJsonObject(annotations) ? annotations[REF_NAME] : undefined;
  return typeof name === 'string' && name !== '' ? name : undefined;
}

function withoutName(entry: JsonObject): JsonObject {
  const { [REF_NAME]: _name, ...annotations } = entry.annotations as JsonObject;
  const { annotations: _annotations, ...rest } = entry;
  return Object.keys(annotations).length ? { ...rest, annotations } : rest;
}
