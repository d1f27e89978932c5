import { type ImageConfig, parseImageConfig } from '../../image/config.ts';
import type { Digest } from '../../image/digest.ts';
import { type Manifest, manifestDigest, parseManifest, type Schema1Manifest } from '../../image/manifest.ts';
import { schema1ConfigBytes } from '../../image/schema1.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';

/** The documents of an image in local storage. */
export interface StoredImage {
  readonly record: ImageRecord;
  readonly manifestBytes: Uint8Array;
  readonly manifest: Manifest;
  /** Digest of the manifest bytes, as recorded when they were stored. */
  readonly digest: Digest;
}

/** An image of one platform with its config. */
export interface StoredConfig {
  readonly config: ImageConfig;
  readonly configBytes: Uint8Array;
}

/** @throws BuildError `missing-file` where the store has lost the manifest */
export async function readStoredImage(store: Store, record: ImageRecord): Promise<StoredImage> {
  const manifestBytes = await store.images.bigData(record.id, 'manifest');
  if (!manifestBytes)
    throw new BuildError('missing-file', `reading image "${record.id}": its manifest is missing in storage`, {
      hint: `remove it with: buildah rmi ${record.id}`,
    });
  return {
    record,
    manifestBytes,
    manifest: parseManifest(manifestBytes),
    digest: record.bigDataDigests.manifest ?? manifestDigest(manifestBytes),
  };
}

/** The config of an image manifest (not of an index), from storage. */
export async function readStoredConfig(store: Store, image: StoredImage): Promise<StoredConfig> {
  const { manifest, record } = image;
  if (manifest.kind === 'index')
    throw new BuildError('bad-argument', `image "${record.id}" has a manifest list, which has no config`);
  if (manifest.kind === 'schema1') return configOfSchema1(store, record, manifest);
  const configBytes = await store.images.bigData(record.id, manifest.config.digest);
  if (!configBytes)
    throw new BuildError('missing-file', `reading image "${record.id}": its config is missing in storage`, {
      hint: `remove it with: buildah rmi ${record.id}`,
    });
  return { config: parseImageConfig(configBytes), configBytes };
}

/** Schema 1 has its config in its history, and leaves the plain digests of its layers to whoever unpacked them. */
async function configOfSchema1(
  store: Store,
  record: ImageRecord,
  manifest: Schema1Manifest,
): Promise<StoredConfig> {
  const diffIds: Digest[] = [];
  for (let id = record.topLayer; id; ) {
    const layer = await store.layers.get(id);
    if (!layer?.diffId) throw new BuildError('missing-file', `reading layer "${id}": layer not known`);
    diffIds.unshift(layer.diffId);
    id = layer.parent;
  }
  const configBytes = schema1ConfigBytes(manifest, diffIds);
  return { config: parseImageConfig(configBytes), configBytes };
}
