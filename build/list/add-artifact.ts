import { createHash } from 'node:crypto';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Annotations, Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import type { ImageManifest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { serializeManifest } from '../../image/serialize.ts';
import { BuildError } from '../error.ts';
import { type ListArtifacts, type ManifestList, withEntry } from './list.ts';

/** Options of {@link addArtifact}; OCI image-spec v1.1, guidelines for artifact usage. */
export interface AddArtifactOptions {
  /** Default `application/vnd.unknown.artifact.v1`; empty: none, for the older style by config type. */
  readonly artifactType?: string;
  readonly configType?: string;
  readonly configFile?: string;
  /** Default: by the file's name or first bytes. */
  readonly layerType?: string;
  readonly excludeTitles?: boolean;
  readonly annotations?: Annotations;
  readonly subject?: Descriptor;
  /** Relative file names count from here. */
  readonly workingDirectory: string;
}

const EMPTY = Buffer.from('{}');
const TITLE = 'org.opencontainers.image.title';

/**
 * Makes an artifact manifest for files and adds it to a list; the files stay where they are until the list is pushed.
 * @throws BuildError `missing-file`
 */
export async function addArtifact(
  list: ManifestList,
  files: readonly string[],
  options: AddArtifactOptions,
): Promise<{ readonly list: ManifestList; readonly digest: Digest }> {
  const paths = files.map((file) => resolve(options.workingDirectory, file));
  const layers: Descriptor[] = [];
  for (const path of paths) layers.push(await layerOf(path, options));
  const config = configOf(options);
  const artifactType = options.artifactType ?? 'application/vnd.unknown.artifact.v1';
  const manifest: ImageManifest = {
    kind: 'image',
    format: 'oci',
    mediaType: MEDIA_TYPE.ociManifest,
    config: config.descriptor,
    layers: layers.length ? layers : [emptyDescriptor(MEDIA_TYPE.ociEmpty)],
    ...(artifactType ? { artifactType } : {}),
    ...(options.subject ? { subject: options.subject } : {}),
    ...(options.annotations ? { annotations: options.annotations } : {}),
  };
  const bytes = serializeManifest(manifest);
  const digest = digestOf(bytes);
  const entry: Descriptor = {
    mediaType: MEDIA_TYPE.ociManifest,
    digest,
    size: bytes.length,
    ...(artifactType ? { artifactType } : {}),
  };
  const artifacts = recorded(list.artifacts, digest, bytes, manifest, paths, config);
  return { list: { ...withEntry(list, entry), artifacts }, digest };
}

interface ArtifactConfig {
  readonly descriptor: Descriptor;
  readonly file?: string;
  readonly bytes?: Uint8Array;
}

function configOf(options: AddArtifactOptions): ArtifactConfig {
  const mediaType = options.configType ?? MEDIA_TYPE.ociEmpty;
  if (options.configFile === undefined) return { descriptor: emptyDescriptor(mediaType), bytes: EMPTY };
  const file = resolve(options.workingDirectory, options.configFile);
  const bytes = readExisting(file);
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, file };
}

function emptyDescriptor(mediaType: string): Descriptor {
  return { mediaType, digest: digestOf(EMPTY), size: EMPTY.length, data: EMPTY.toString('base64') };
}

async function layerOf(path: string, options: AddArtifactOptions): Promise<Descriptor> {
  let size: number;
  try {
    size = statSync(path).size;
  } catch (cause) {
    throw new BuildError('missing-file', `opening "${path}": no such file or directory`, { cause });
  }
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return {
    mediaType: options.layerType ?? guessType(path),
    digest: `sha256:${hash.digest('hex')}` as Digest,
    size,
    ...(options.excludeTitles ? {} : { annotations: { [TITLE]: basename(path) } }),
  };
}

function readExisting(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new BuildError('missing-file', `reading "${path}": no such file or directory`, { cause });
  }
}

const TYPES: Readonly<Record<string, string>> = {
  json: 'application/json',
  txt: 'text/plain',
  html: 'text/html',
  xml: 'text/xml',
  js: 'text/javascript',
  css: 'text/css',
  gz: 'application/gzip',
  tar: 'application/x-tar',
  zip: 'application/zip',
  pdf: 'application/pdf',
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  gif: 'image/gif',
  svg: 'image/svg+xml',
  wasm: 'application/wasm',
};

/** By the name's ending, else plain text where the first bytes are, else binary. */
function guessType(path: string): string {
  const ending = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase();
  const known = ending !== undefined && Object.hasOwn(TYPES, ending) ? TYPES[ending] : undefined;
  if (known) return known;
  const head = readFileSync(path).subarray(0, 512);
  const isText = head.every(
    (byte) => byte >= 0x20 || byte === 9 || byte === 10 || byte === 12 || byte === 13 || byte === 27,
  );
  return isText ? 'text/plain' : 'application/octet-stream';
}

function recorded(
  before: ListArtifacts,
  digest: Digest,
  bytes: Uint8Array,
  manifest: ImageManifest,
  paths: readonly string[],
  config: ArtifactConfig,
): ListArtifacts {
  const detached = { ...before.detached };
  for (const [index, path] of paths.entries()) detached[manifest.layers[index]!.digest] = path;
  const blobs = { ...before.blobs };
  if (config.file) detached[config.descriptor.digest] = config.file;
  if (config.bytes) blobs[config.descriptor.digest] = Buffer.from(config.bytes).toString('base64');
  if (paths.length === 0) blobs[digestOf(EMPTY)] = EMPTY.toString('base64');
  return {
    manifests: { ...before.manifests, [digest]: Buffer.from(bytes).toString('utf8') },
    files: { ...before.files, [digest]: paths },
    config: { ...before.config, [digest]: config.descriptor.digest },
    layers: { ...before.layers, [digest]: manifest.layers.map((layer) => layer.digest) },
    detached,
    blobs,
  };
}
