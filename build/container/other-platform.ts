import type { ImageConfig } from '../../image/config.ts';
import { formatPlatform, normalizePlatform, type Platform } from '../../image/platform.ts';
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
  if (platform.os === host.os && platform.architecture === host.architecture && !platform.variant)
    return false;
  const image = await readStoredImage(store, record);
  if (image.manifest.kind === 'index') return false;
  const { config } = await readStoredConfig(store, image);
  const actual = normalizePlatform({
    os: config.os,
    architecture: config.architecture,
    variant: config.variant,
  });
  return (
    (platform.variant !== undefined && actual.variant !== platform.variant) ||
    (platform.os !== host.os && actual.os !== platform.os) ||
    (platform.architecture !== host.architecture && actual.architecture !== platform.architecture)
  );
}

/** What to say of an image that is not for the platform; undefined where it is. What a config leaves out fits. */
export function otherPlatform(
  config: Pick<ImageConfig, 'os' | 'architecture' | 'variant'>,
  expected: Platform,
): string | undefined {
  const { os, architecture, variant } = config;
  const wanted = normalizePlatform(expected);
  const actual = normalizePlatform({
    os: os || wanted.os,
    architecture: architecture || wanted.architecture,
    variant,
  });
  const same = actual.variant === wanted.variant || (actual.variant && !wanted.variant);
  if (actual.os === wanted.os && actual.architecture === wanted.architecture && same) return undefined;
  return `image platform (${formatPlatform(actual)}) does not match the expected platform (${formatPlatform(wanted)})`;
}

/** As {@link otherPlatform}, of an image in local storage; a list and what cannot be read fit. */
export async function otherPlatformStored(
  store: Store,
  record: ImageRecord,
  expected: Platform,
): Promise<string | undefined> {
  const config = await readStoredImage(store, record)
    .then((image) => readStoredConfig(store, image))
    .catch(() => undefined);
  return config && otherPlatform(config.config, expected);
}
