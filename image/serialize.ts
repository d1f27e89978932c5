import type { Descriptor } from './descriptor.ts';
import { goJson, nonEmpty, sortedMap } from './go-json.ts';
import type { ImageIndex, ImageManifest } from './manifest.ts';
import type { Platform } from './platform.ts';

/**
 * The bytes of a manifest that we made or changed, field by field in the order in which containers/image writes them,
 * so that equal edits give equal digests. Manifests that nobody changed keep their received bytes instead.
 */
export function serializeManifest(manifest: ImageManifest): Uint8Array {
  if (manifest.format === 'docker') {
    return goJson({
      schemaVersion: 2,
      mediaType: manifest.mediaType,
      config: dockerDescriptor(manifest.config),
      layers: manifest.layers.map(dockerDescriptor),
    });
  }
  return goJson({
    schemaVersion: 2,
    mediaType: manifest.mediaType,
    artifactType: nonEmpty(manifest.artifactType),
    config: ociDescriptor(manifest.config),
    layers: manifest.layers.map(ociDescriptor),
    subject: manifest.subject && ociDescriptor(manifest.subject),
    annotations: sortedMap(manifest.annotations),
  });
}

/** The bytes of an index or manifest list, as {@link serializeManifest}. */
export function serializeIndex(index: ImageIndex): Uint8Array {
  if (index.format === 'docker') {
    return goJson({
      schemaVersion: 2,
      mediaType: index.mediaType,
      manifests: index.manifests.map((entry) => ({
        mediaType: entry.mediaType,
        size: entry.size,
        digest: entry.digest,
        platform: orderedPlatform(entry.platform ?? { os: '', architecture: '' }),
      })),
    });
  }
  return goJson({
    schemaVersion: 2,
    mediaType: index.mediaType,
    artifactType: nonEmpty(index.artifactType),
    manifests: index.manifests.map(ociDescriptor),
    subject: index.subject && ociDescriptor(index.subject),
    annotations: sortedMap(index.annotations),
  });
}

/** OCI descriptor fields in the order of image-spec's Go type. */
export function ociDescriptor(descriptor: Descriptor): object {
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    urls: nonEmpty(descriptor.urls),
    annotations: sortedMap(descriptor.annotations),
    data: nonEmpty(descriptor.data),
    platform: descriptor.platform && orderedPlatform(descriptor.platform),
    artifactType: nonEmpty(descriptor.artifactType),
  };
}

function dockerDescriptor(descriptor: Descriptor): object {
  return {
    mediaType: descriptor.mediaType,
    size: descriptor.size,
    digest: descriptor.digest,
    urls: nonEmpty(descriptor.urls),
  };
}

function orderedPlatform(platform: Platform): object {
  return {
    architecture: platform.architecture,
    os: platform.os,
    'os.version': nonEmpty(platform['os.version']),
    'os.features': nonEmpty(platform['os.features']),
    variant: nonEmpty(platform.variant),
  };
}
