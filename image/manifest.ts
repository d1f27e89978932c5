import type { Annotations, Descriptor } from './descriptor.ts';
import { algorithmOf, type Digest, digestOf, hasKnownAlgorithm, parseDigest } from './digest.ts';
import { ImageError } from './error.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from './json.ts';
import { isIndexMediaType, isSchema1MediaType, MEDIA_TYPE } from './media-type.ts';
import type { Platform } from './platform.ts';

/** Manifest bytes as received, with the media type they were determined to have. */
export interface ManifestDocument {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

/** An image manifest of OCI or Docker schema 2, or an OCI artifact manifest. */
export interface ImageManifest {
  readonly kind: 'image';
  readonly format: 'oci' | 'docker';
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly artifactType?: string;
  readonly subject?: Descriptor;
  readonly annotations?: Annotations;
}

/** A Docker schema 1 manifest; image/schema1.ts interprets it. */
export interface Schema1Manifest {
  readonly kind: 'schema1';
  readonly mediaType: string;
  readonly name: string;
  readonly tag: string;
  readonly architecture: string;
  /** Base layer last, as the format has it. */
  readonly fsLayers: readonly { readonly blobSum: Digest }[];
  readonly history: readonly { readonly v1Compatibility: string }[];
}

/** An OCI image index or a Docker manifest list. */
export interface ImageIndex {
  readonly kind: 'index';
  readonly format: 'oci' | 'docker';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly artifactType?: string;
  readonly subject?: Descriptor;
  readonly annotations?: Annotations;
}

export type Manifest = ImageManifest | Schema1Manifest | ImageIndex;

/**
 * Interprets manifest bytes. The bytes decide the type; a declared `mediaType` inside must agree with the structure,
 * and a document that is valid as image and as index at once is refused (CVE-2021-41190).
 * @param contentType what the transport said, used only where the document has no `mediaType` of its own
 * @throws ImageError `bad-json`, `bad-manifest`, `ambiguous-manifest`, `bad-digest`, `too-large`
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): Manifest {
  const json = parseJsonObject(bytes, { what: 'manifest' });
  refuseAmbiguity(json);
  const mediaType = determineMediaType(json, contentType);
  if (isSchema1MediaType(mediaType)) return parseSchema1(json, mediaType);
  if (json.schemaVersion !== 2) throw bad(`unsupported schemaVersion ${JSON.stringify(json.schemaVersion)}`);
  const common = {
    mediaType,
    format: mediaType === MEDIA_TYPE.dockerManifest || mediaType === MEDIA_TYPE.dockerList ? 'docker' : 'oci',
    ...optional('artifactType', json.artifactType, text),
    ...optional('subject', json.subject, parseDescriptor),
    ...optional('annotations', json.annotations, parseAnnotations),
  } as const;
  if (isIndexMediaType(mediaType)) {
    return {
      kind: 'index',
      ...common,
      manifests: array(json.manifests, 'manifests').map((entry) => parseDescriptor(entry, 'manifests')),
    };
  }
  return {
    kind: 'image',
    ...common,
    config: parseDescriptor(json.config, 'config'),
    layers: array(json.layers, 'layers').map((entry) => parseDescriptor(entry, 'layers')),
  };
}

/**
 * The media type of manifest bytes by their own content, as containers/image guesses it
 * (image/manifest GuessMIMEType); undefined where they are no manifest that is known.
 */
export function guessManifestMediaType(bytes: Uint8Array): string | undefined {
  try {
    return determineMediaType(parseJsonObject(bytes, { what: 'manifest' }));
  } catch (error) {
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}

/** The digest of a manifest; of a signed schema 1 manifest, that of its payload without the signatures. */
export function manifestDigest(bytes: Uint8Array): Digest {
  return digestOf(payloadOfSchema1(bytes) ?? bytes);
}

/** True where `bytes` are what `digest` names. */
export function matchesManifestDigest(bytes: Uint8Array, digest: Digest): boolean {
  const algorithm = digest.slice(0, digest.indexOf(':'));
  if (algorithm !== 'sha256' && algorithm !== 'sha384' && algorithm !== 'sha512') {
    throw new ImageError('unsupported-digest', `unsupported digest algorithm in ${JSON.stringify(digest)}`);
  }
  return digestOf(payloadOfSchema1(bytes) ?? bytes, algorithm) === digest;
}

/** libtrust: the signed payload is the document up to `formatLength` plus the protected tail. */
function payloadOfSchema1(bytes: Uint8Array): Uint8Array | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!head.includes('"signatures"') || !head.includes('"schemaVersion"')) return undefined;
  try {
    const json = parseJsonObject(bytes, { what: 'manifest' });
    if (json.schemaVersion !== 1 || !Array.isArray(json.signatures)) return undefined;
    const first = json.signatures[0];
    if (!isJsonObject(first) || typeof first.protected !== 'string') return undefined;
    const header = parseJsonObject(Buffer.from(first.protected, 'base64url'), {
      what: 'schema 1 signature header',
    });
    if (typeof header.formatLength !== 'number' || typeof header.formatTail !== 'string') return undefined;
    if (
      !Number.isInteger(header.formatLength) ||
      header.formatLength < 0 ||
      header.formatLength > bytes.length
    )
      return undefined;
    return Buffer.concat([
      head.subarray(0, header.formatLength),
      Buffer.from(header.formatTail, 'base64url'),
    ]);
  } catch (error) {
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}

const INDEX_KEYS = ['manifests'];
const IMAGE_KEYS = ['config', 'layers', 'fsLayers', 'history'];

/** Go matches keys without regard to case, so a consumer may see `Manifests`; compare folded. */
function refuseAmbiguity(json: JsonObject): void {
  const folded = new Set(Object.keys(json).map((key) => key.toLowerCase()));
  const has = (keys: string[]) => keys.some((key) => folded.has(key.toLowerCase()));
  if (has(INDEX_KEYS) && has(IMAGE_KEYS)) {
    throw new ImageError(
      'ambiguous-manifest',
      'manifest is ambiguous: it has the fields of an image and of an index',
    );
  }
}

function determineMediaType(json: JsonObject, contentType?: string): string {
  const isIndex = json.manifests !== undefined;
  const declared = typeof json.mediaType === 'string' && json.mediaType !== '' ? json.mediaType : undefined;
  const known = (type: string) =>
    isIndexMediaType(type) ||
    isSchema1MediaType(type) ||
    type === MEDIA_TYPE.ociManifest ||
    type === MEDIA_TYPE.dockerManifest;
  if (json.schemaVersion === 1 && declared === undefined) {
    return json.signatures === undefined ? MEDIA_TYPE.dockerSchema1 : MEDIA_TYPE.dockerSchema1Signed;
  }
  if (declared !== undefined) {
    if (!known(declared)) throw bad(`unsupported media type ${JSON.stringify(declared)}`);
    if (isIndexMediaType(declared) !== isIndex)
      throw new ImageError(
        'ambiguous-manifest',
        `manifest says it is ${declared} but has the fields of ${isIndex ? 'an index' : 'an image'}`,
      );
    return declared;
  }
  const said = contentType?.split(';')[0]?.trim();
  if (said !== undefined && known(said) && !isSchema1MediaType(said) && isIndexMediaType(said) === isIndex)
    return said;
  if (isIndex) {
    const children = Array.isArray(json.manifests) ? json.manifests : [];
    const docker = children.some(
      (child) => isJsonObject(child) && child.mediaType === MEDIA_TYPE.dockerManifest,
    );
    return docker &&
      !children.some((child) => isJsonObject(child) && child.mediaType === MEDIA_TYPE.ociManifest)
      ? MEDIA_TYPE.dockerList
      : MEDIA_TYPE.ociIndex;
  }
  if (json.config === undefined && json.layers === undefined)
    throw bad('neither an image manifest nor an index');
  return isJsonObject(json.config) && json.config.mediaType === MEDIA_TYPE.dockerConfig
    ? MEDIA_TYPE.dockerManifest
    : MEDIA_TYPE.ociManifest;
}

function parseSchema1(json: JsonObject, mediaType: string): Schema1Manifest {
  const layers = array(json.fsLayers, 'fsLayers').map((entry) => ({
    blobSum: parseDigest(text(object(entry, 'fsLayers').blobSum, 'blobSum')),
  }));
  const history = array(json.history, 'history').map((entry) => ({
    v1Compatibility: text(object(entry, 'history').v1Compatibility, 'v1Compatibility'),
  }));
  if (layers.length !== history.length)
    throw bad(`length of history (${history.length}) not equal to number of layers (${layers.length})`);
  return {
    kind: 'schema1',
    mediaType,
    name: json.name === undefined ? '' : text(json.name, 'name'),
    tag: json.tag === undefined ? '' : text(json.tag, 'tag'),
    architecture: json.architecture === undefined ? '' : text(json.architecture, 'architecture'),
    fsLayers: layers,
    history,
  };
}

/** @throws ImageError `bad-manifest`, `bad-digest` */
export function parseDescriptor(value: JsonValue | undefined, where: string): Descriptor {
  const json = object(value, where);
  const size = json.size;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw bad(`${where}: invalid size ${JSON.stringify(size)}`);
  const digest = parseDigest(text(json.digest, `${where}.digest`));
  if (json.data !== undefined) checkData(text(json.data, `${where}.data`), digest, size, where);
  return {
    mediaType: json.mediaType === undefined ? '' : text(json.mediaType, `${where}.mediaType`),
    digest,
    size,
    ...optional('urls', json.urls, (urls) =>
      array(urls, `${where}.urls`).map((url) => text(url, `${where}.urls`)),
    ),
    ...optional('annotations', json.annotations, parseAnnotations),
    ...optional('data', json.data, text),
    ...optional('platform', json.platform, parsePlatformObject),
    ...optional('artifactType', json.artifactType, text),
  };
}

/** Embedded content must be the content (image-spec v1.1, descriptor.md); of an unknown algorithm the size alone is known. */
function checkData(data: string, digest: Digest, size: number, where: string): void {
  const bytes = Buffer.from(data, 'base64');
  const right = () => !hasKnownAlgorithm(digest) || digestOf(bytes, algorithmOf(digest)) === digest;
  if (bytes.length === size && right()) return;
  throw bad(`${where}: the embedded data is not the content that ${digest} of ${size} bytes means`);
}

function parsePlatformObject(value: JsonValue): Platform {
  const json = object(value, 'platform');
  return {
    os: json.os === undefined ? '' : text(json.os, 'platform.os'),
    architecture: json.architecture === undefined ? '' : text(json.architecture, 'platform.architecture'),
    ...optional('variant', json.variant, text),
    ...optional('os.version', json['os.version'], text),
    ...optional('os.features', json['os.features'], (list) =>
      array(list, 'platform.os.features').map((entry) => text(entry, 'platform.os.features')),
    ),
  };
}

function parseAnnotations(value: JsonValue): Annotations {
  return Object.fromEntries(
    Object.entries(object(value, 'annotations')).map(([key, entry]) => [
      key,
      text(entry, `annotations.${key}`),
    ]),
  );
}

function optional<K extends string, T>(
  key: K,
  value: JsonValue | undefined,
  read: (value: JsonValue, where: string) => T,
): { [P in K]?: T } {
  return (value === undefined || value === null ? {} : { [key]: read(value, key) }) as { [P in K]?: T };
}

function bad(why: string): ImageError {
  return new ImageError('bad-manifest', `invalid manifest: ${why}`);
}

function object(value: JsonValue | undefined, where: string): JsonObject {
  if (!isJsonObject(value)) throw bad(`${where} is not an object`);
  return value;
}

function array(value: JsonValue | undefined, where: string): JsonValue[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw bad(`${where} is not an array`);
  return value;
}

function text(value: JsonValue | undefined, where: string): string {
  if (typeof value !== 'string') throw bad(`${where} is not a string`);
  return value;
}
