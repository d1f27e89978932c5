import type { ImageConfig, RuntimeConfig } from './config.ts';
import { parseImageConfig } from './config.ts';
import type { Descriptor } from './descriptor.ts';
import { digestOf } from './digest.ts';
import { ImageError } from './error.ts';
import { goJson, nonEmpty, sortedMap } from './go-json.ts';
import type { ImageIndex, ImageManifest } from './manifest.ts';
import {
  type Compression,
  compressionOf,
  isForeignLayer,
  isLayerMediaType,
  layerMediaType,
  MEDIA_TYPE,
} from './media-type.ts';

export type ManifestFormat = 'oci' | 'docker';

/** A converted image; `config` is set where the config's bytes changed too. */
export interface ConvertedImage {
  readonly manifest: ImageManifest;
  readonly config?: Uint8Array;
}

/**
 * Converts an image manifest between OCI and Docker schema 2, as containers/image: Docker to OCI rewrites the config
 * to the fields that OCI knows, OCI to Docker keeps the config's bytes and drops annotations.
 * @throws ImageError `unsupported-conversion` for artifacts, zstd or encrypted layers that the target cannot name
 */
export function convertImage(
  manifest: ImageManifest,
  config: Uint8Array,
  format: ManifestFormat,
): ConvertedImage {
  if (manifest.format === format) return { manifest };
  return format === 'docker' ? toDocker(manifest) : toOci(manifest, config);
}

function toDocker(manifest: ImageManifest): ConvertedImage {
  if (manifest.config.mediaType !== MEDIA_TYPE.ociConfig) {
    throw new ImageError(
      'unsupported-conversion',
      `creating an updated image manifest: unsupported image-specific operation on artifact with type ${JSON.stringify(manifest.artifactType ?? manifest.config.mediaType)}`,
    );
  }
  return {
    manifest: {
      kind: 'image',
      format: 'docker',
      mediaType: MEDIA_TYPE.dockerManifest,
      config: bare(manifest.config, MEDIA_TYPE.dockerConfig),
      layers: manifest.layers.map((layer) => bare(layer, convertLayerType(layer.mediaType, 'docker'))),
    },
  };
}

function toOci(manifest: ImageManifest, configBytes: Uint8Array): ConvertedImage {
  const config = ociConfigBytes(parseImageConfig(configBytes));
  return {
    config,
    manifest: {
      kind: 'image',
      format: 'oci',
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.length },
      layers: manifest.layers.map(toOciLayer),
    },
  };
}

/** Docker knows no annotations, but a layer that was encrypted on its way has its keys there. */
function toOciLayer(layer: Descriptor): Descriptor {
  const { annotations } = layer;
  return {
    ...bare(layer, convertLayerType(layer.mediaType, 'oci')),
    ...(annotations && Object.keys(annotations).length ? { annotations } : {}),
  };
}

function bare(descriptor: Descriptor, mediaType: string): Descriptor {
  const { digest, size, urls } = descriptor;
  return { mediaType, digest, size, ...(urls?.length ? { urls } : {}) };
}

/**
 * The layer media type of the other format for the same content.
 * @throws ImageError `unsupported-conversion`
 */
export function convertLayerType(mediaType: string, format: ManifestFormat): string {
  const compression = compressionOf(mediaType);
  if (!isLayerMediaType(mediaType) || compression === undefined) {
    throw new ImageError(
      'unsupported-conversion',
      `Unknown media type during manifest conversion: ${JSON.stringify(mediaType)}`,
    );
  }
  if (mediaType.endsWith('+encrypted') && format === 'docker') {
    throw new ImageError(
      'unsupported-conversion',
      `during manifest conversion: encrypted layers (${JSON.stringify(mediaType)}) are not supported in docker images`,
    );
  }
  if (compression === 'zstd' && format === 'docker') {
    throw new ImageError(
      'unsupported-conversion',
      `Error during manifest conversion: ${JSON.stringify(mediaType)}: zstd compression is not officially supported for docker images`,
    );
  }
  const suffix = mediaType.endsWith('+encrypted') ? '+encrypted' : '';
  return layerMediaType(format, compression, isForeignLayer(mediaType)) + suffix;
}

/** The media type of a layer after its compression changed; types that are no layers stay as they are. */
export function withCompression(mediaType: string, format: ManifestFormat, compression: Compression): string {
  if (!isLayerMediaType(mediaType)) return mediaType;
  const suffix = mediaType.endsWith('+encrypted') ? '+encrypted' : '';
  return layerMediaType(format, compression, isForeignLayer(mediaType)) + suffix;
}

/** An index in the other format: children keep their digests, annotations do not exist in Docker lists. */
export function convertIndex(index: ImageIndex, format: ManifestFormat): ImageIndex {
  if (index.format === format) return index;
  const mediaType = format === 'oci' ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.dockerList;
  return {
    kind: 'index',
    format,
    mediaType,
    manifests: index.manifests.map(({ mediaType, digest, size, platform }) => ({
      mediaType,
      digest,
      size,
      ...(platform ? { platform } : {}),
    })),
  };
}

/** An image config's OCI fields in the order of image-spec's Go type; Docker's own fields are dropped. */
export function ociConfigBytes(config: ImageConfig): Uint8Array {
  return goJson({
    created: nonEmpty(config.created),
    author: nonEmpty(config.author),
    architecture: config.architecture,
    os: config.os,
    'os.version': nonEmpty(config['os.version']),
    'os.features': nonEmpty(config['os.features']),
    variant: nonEmpty(config.variant),
    config: ociRuntime(config.config ?? {}),
    rootfs: { type: config.rootfs.type, diff_ids: config.rootfs.diff_ids },
    history: nonEmpty(
      (config.history ?? []).map((entry) => ({
        created: nonEmpty(entry.created),
        created_by: nonEmpty(entry.created_by),
        author: nonEmpty(entry.author),
        comment: nonEmpty(entry.comment),
        empty_layer: entry.empty_layer || undefined,
      })),
    ),
  });
}

function ociRuntime(config: RuntimeConfig): object {
  return {
    User: nonEmpty(config.User),
    ExposedPorts: emptyObjects(config.ExposedPorts),
    Env: nonEmpty(config.Env),
    Entrypoint: nonEmpty(config.Entrypoint),
    Cmd: nonEmpty(config.Cmd),
    Volumes: emptyObjects(config.Volumes),
    WorkingDir: nonEmpty(config.WorkingDir),
    Labels: sortedMap(config.Labels),
    StopSignal: nonEmpty(config.StopSignal),
    ArgsEscaped: config.ArgsEscaped || undefined,
  };
}

function emptyObjects(map: Readonly<Record<string, object>> | undefined): Map<string, object> | undefined {
  const keys = Object.keys(map ?? {});
  return keys.length === 0 ? undefined : new Map(keys.map((key) => [key, {}]));
}
