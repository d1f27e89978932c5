import { type ImageConfig, parseImageConfig } from '../../image/config.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { type Manifest, parseManifest } from '../../image/manifest.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { BuildError } from '../error.ts';

/** The documents of an image in local storage. */
export interface StoredImage {
  readonly record: ImageRecord;
  readonly manifestBytes: Uint8Array;
  readonly manifest: Manifest;
  /** Digest of the manifest bytes. */
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
  return { record, manifestBytes, manifest: parseManifest(manifestBytes), digest: digestOf(manifestBytes) };
}

/** The config of an image manifest (not of an index), from storage. */
export async function readStoredConfig(store: Store, image: StoredImage): Promise<StoredConfig> {
  const { manifest, record } = image;
  if (manifest.kind !== 'image')
    throw new BuildError(
      'bad-argument',
      `image "${record.id}" has a ${manifest.kind === 'index' ? 'manifest list, which has no config' : 'schema 1 manifest'}`,
    );
  const configBytes = await store.images.bigData(record.id, manifest.config.digest);
  if (!configBytes)
    throw new BuildError('missing-file', `reading image "${record.id}": its config is missing in storage`, {
      hint: `remove it with: buildah rmi ${record.id}`,
    });
  return { config: parseImageConfig(configBytes), configBytes };
}
