import { normalizePlatform, type Platform } from '../../image/platform.ts';
import type { ImageRecord, Store } from '../../store/storage/contract.ts';
import { readStoredConfig, readStoredImage } from './stored-image.ts';

/**
 * True where a local image is of another platform than the one asked for. What the host and the asked platform have in
 * common is not compared, since many images say something wrong there.
 */
export async function isOfOtherPlatform(
  store: Store,
  record: ImageRecord,
  asked: { readonly platform: Platform; readonly host: Platform },
): Promise<boolean> {
  const platform = normalizePlatform(asked.platform);
  const host = normalizePlatform(asked.host);
  if (platform.os === host.os && platform.architecture === host.architecture) return false;
  const image = await readStoredImage(store, record);
  if (image.manifest.kind === 'index') return false;
  const { config } = await readStoredConfig(store, image);
  const actual = normalizePlatform({ os: config.os, architecture: config.architecture });
  return (
    (platform.os !== host.os && actual.os !== platform.os) ||
    (platform.architecture !== host.architecture && actual.architecture !== platform.architecture)
  );
}
