import { setImmediate } from 'node:timers/promises';
import { type ImageConfig, parseImageConfig } from '../image/config.ts';
import type { Annotations } from '../image/descriptor.ts';
import { algorithmOf, type Digest, type DigestAlgorithm, digestOf } from '../image/digest.ts';
import { ImageError } from '../image/error.ts';
import {
  type ImageManifest,
  type ManifestDocument,
  manifestDigest,
  parseManifest,
  type Schema1Manifest,
} from '../image/manifest.ts';
import { MEDIA_TYPE } from '../image/media-type.ts';
import { choosePlatform } from '../image/platform.ts';
import { repositoryOf } from '../image/reference.ts';
import { schema1Config, schema1Layers } from '../image/schema1.ts';
import type { ImageSource, TransportContext } from './contract.ts';
import { TransportError } from './error.ts';
import { readVerifiedBlob } from './read-blob.ts';
import { readManifest } from './read-manifest.ts';
import { formatImageReference } from './references.ts';

/** One layer as `skopeo inspect` shows it. */
export interface InspectedLayer {
  /** Empty for schema 1, which does not say. */
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes; -1 where unknown. */
  readonly size: number;
  readonly annotations?: Annotations;
}

/** What an image says about itself. Nothing of it is verified beyond its digests. */
export interface ImageInspection {
  /** The repository, where the reference has a docker-style name. */
  readonly name?: string;
  /** Schema 1 only: the tag that the manifest itself names. */
  readonly tag?: string;
  /** Of the top-level manifest. */
  readonly digest: Digest;
  /** RFC 3339; undefined where an OCI config has none. */
  readonly created?: string;
  readonly dockerVersion: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly architecture: string;
  readonly os: string;
  readonly layers: readonly InspectedLayer[];
  readonly env?: readonly string[];
}

/** An image that was read for looking at: its manifest, and the one chosen from it where it is an index. */
export interface OpenedImage {
  readonly topLevel: ManifestDocument;
  readonly document: ManifestDocument;
  readonly manifest: ImageManifest | Schema1Manifest;
}

/**
 * Reads the manifest, and for an index the one for the context's platform.
 * @throws TransportError `digest-mismatch`, `not-found` where no platform fits
 */
export async function openImage(source: ImageSource, context: TransportContext): Promise<OpenedImage> {
  const topLevel = await readManifest(source);
  const manifest = parseManifest(topLevel.bytes, topLevel.mediaType);
  if (manifest.kind !== 'index') return { topLevel, document: topLevel, manifest };
  const chosen = choosePlatform(manifest.manifests, context.platform);
  if (!chosen) throw noPlatform(source, context, manifest.format);
  const document = await readManifest(source, chosen.digest);
  const child = parseManifest(document.bytes, document.mediaType);
  if (child.kind === 'index')
    throw new TransportError('unsupported', `${chosen.digest} is an index inside an index`);
  return { topLevel, document, manifest: child };
}

/** Nothing in the index runs on the wanted platform. */
export function noPlatform(
  source: ImageSource,
  { platform }: TransportContext,
  format: 'oci' | 'docker' = 'oci',
): TransportError {
  return new TransportError(
    'not-found',
    `choosing an image from manifest list ${formatImageReference(source.reference)}: no image found in ${format === 'oci' ? 'image index' : 'manifest list'} for architecture ${JSON.stringify(platform.architecture)}, variant ${JSON.stringify(platform.variant ?? '')}, OS ${JSON.stringify(platform.os)}`,
    { hint: 'choose another with --override-os, --override-arch and --override-variant' },
  );
}

/** The config document's bytes, verified. @throws TransportError `unsupported` for schema 1, which has none */
export async function readConfigBytes(
  source: ImageSource,
  { manifest }: OpenedImage,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (manifest.kind === 'schema1')
    throw new TransportError('unsupported', 'a schema 1 image has no configuration blob');
  return readVerifiedBlob(source, manifest.config, signal ? { signal } : {});
}

/** The image's config, made from the history for schema 1. @throws ImageError `bad-config` */
export async function readImageConfig(
  source: ImageSource,
  image: OpenedImage,
  signal?: AbortSignal,
): Promise<ImageConfig> {
  const { manifest } = image;
  if (manifest.kind === 'schema1') return schema1Config(manifest);
  const { mediaType } = manifest.config;
  if (mediaType !== MEDIA_TYPE.ociConfig && mediaType !== MEDIA_TYPE.dockerConfig)
    throw new ImageError(
      'bad-config',
      `unsupported image-specific operation on artifact with type ${JSON.stringify(manifest.artifactType ?? mediaType)}`,
    );
  return parseImageConfig(await readConfigBytes(source, image, signal));
}

/**
 * What `skopeo inspect` shows of an image, without the tags of its repository.
 * @param algorithm for the manifest's digest; default: that of the config's digest
 */
export async function inspectImage(
  source: ImageSource,
  context: TransportContext,
  algorithm?: DigestAlgorithm,
): Promise<ImageInspection> {
  const image = await openImage(source, context);
  // The first digest loads what computes it: meanwhile the config is on its way.
  const digestLater = setImmediate().then(() => digestFor(image, algorithm));
  const [config, digest] = await Promise.all([readImageConfig(source, image, context.signal), digestLater]);
  const { named } = source.reference;
  const { manifest } = image;
  return {
    ...(named ? { name: repositoryOf(named) } : {}),
    ...(manifest.kind === 'schema1' && manifest.tag ? { tag: manifest.tag } : {}),
    digest,
    ...createdOf(config, manifest),
    dockerVersion: config.docker_version ?? '',
    ...(config.config?.Labels ? { labels: config.config.Labels } : {}),
    architecture: config.architecture,
    os: config.os,
    layers: layersOf(manifest),
    ...(config.config?.Env ? { env: config.config.Env } : {}),
  };
}

/** Docker configs always have a time, the zero one where none is written. */
function createdOf(config: ImageConfig, manifest: ImageManifest | Schema1Manifest): { created?: string } {
  if (config.created) return { created: config.created };
  return manifest.kind === 'image' && manifest.format === 'oci' ? {} : { created: '0001-01-01T00:00:00Z' };
}

function layersOf(manifest: ImageManifest | Schema1Manifest): InspectedLayer[] {
  if (manifest.kind === 'schema1')
    return schema1Layers(manifest).map(({ digest }) => ({ mediaType: '', digest, size: -1 }));
  return manifest.layers.map(({ mediaType, digest, size, annotations }) => ({
    mediaType,
    digest,
    size,
    ...(annotations ? { annotations } : {}),
  }));
}

function digestFor({ topLevel, manifest }: OpenedImage, algorithm?: DigestAlgorithm): Digest {
  const chosen = algorithm ?? (manifest.kind === 'image' ? algorithmOf(manifest.config.digest) : 'sha256');
  return chosen === 'sha256' ? manifestDigest(topLevel.bytes) : digestOf(topLevel.bytes, chosen);
}
