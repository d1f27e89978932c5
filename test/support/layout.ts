// Small OCI layouts on disk, written without the code under test.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { type Digest, digestOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import type { Platform } from '../../image/platform.ts';
import type { TransportContext } from '../../transport/contract.ts';
import { tarOf } from './tar.ts';

export interface LayoutImage {
  /** Plain tars; each becomes a layer. */
  readonly layers?: readonly Buffer[];
  readonly compression?: 'none' | 'gzip' | 'zstd';
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Merged over the config document. */
  readonly config?: object;
  /** Merged over the manifest. */
  readonly manifest?: object;
}

export interface WrittenImage {
  readonly digest: Digest;
  readonly size: number;
  readonly manifest: Buffer;
  readonly layers: readonly { readonly mediaType: string; readonly digest: Digest; readonly size: number }[];
  readonly diffIds: readonly Digest[];
  readonly configDigest: Digest;
}

export const AMD64: Platform = { os: 'linux', architecture: 'amd64' };

export const SMALL_LAYERS: readonly Buffer[] = [
  tarOf([{ name: 'etc/' }, { name: 'etc/hello', body: 'hello\n'.repeat(2000) }]),
  tarOf([{ name: 'two', body: 'second layer' }]),
];

/** A permissive policy. */
export const ANYTHING = { async admit() {} };

export function contextFor(directory: string, more: Partial<TransportContext> = {}): TransportContext {
  return { platform: AMD64, temporaryDirectory: directory, ...more };
}

export function putBlob(layout: string, bytes: Uint8Array): { digest: Digest; size: number } {
  const digest = digestOf(bytes);
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  writeFileSync(join(layout, 'blobs/sha256', digest.slice(7)), bytes);
  return { digest, size: bytes.length };
}

/** Writes config, layers and manifest; index.json stays as it is. */
export function putImage(layout: string, image: LayoutImage = {}): WrittenImage {
  const plain = image.layers ?? SMALL_LAYERS;
  const compression = image.compression ?? 'gzip';
  const suffix = compression === 'none' ? '' : `+${compression}`;
  const layers = plain.map((bytes) => ({
    mediaType: `${MEDIA_TYPE.ociLayer}${suffix}`,
    ...putBlob(
      layout,
      compression === 'gzip' ? gzipSync(bytes) : compression === 'zstd' ? zstdCompressSync(bytes) : bytes,
    ),
  }));
  const diffIds = plain.map((bytes) => digestOf(bytes));
  const config = {
    created: '2020-01-02T03:04:05.6Z',
    ...(image.platform ?? AMD64),
    config: { Env: ['A=b<c>'], Labels: { x: 'y' } },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: plain.map((_, at) => ({ created: '2020-01-02T03:04:05Z', created_by: `step ${at}` })),
    ...image.config,
  };
  const configBlob = putBlob(layout, Buffer.from(JSON.stringify(config)));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, ...configBlob },
      layers,
      ...(image.annotations ? { annotations: image.annotations } : {}),
      ...image.manifest,
    }),
  );
  return { ...putBlob(layout, manifest), manifest, layers, diffIds, configDigest: configBlob.digest };
}

/** Adds an entry to index.json. */
export function nameImage(
  layout: string,
  entry: { readonly digest: Digest; readonly size: number },
  name?: string,
  mediaType: string = MEDIA_TYPE.ociManifest,
): void {
  const path = join(layout, 'index.json');
  let index = { schemaVersion: 2, manifests: [] as object[] };
  try {
    index = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    // The first entry makes the file.
  }
  index.manifests.push({
    mediaType,
    digest: entry.digest,
    size: entry.size,
    ...(name ? { annotations: { 'org.opencontainers.image.ref.name': name } } : {}),
  });
  writeFileSync(path, JSON.stringify(index));
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

/** A whole layout with one named image. */
export function writeLayout(layout: string, name: string, image: LayoutImage = {}): WrittenImage {
  const written = putImage(layout, image);
  nameImage(layout, written, name);
  return written;
}

/** An index over images of several platforms, named. */
export function writeIndexLayout(
  layout: string,
  name: string,
  platforms: readonly Platform[],
): { readonly digest: Digest; readonly images: readonly WrittenImage[]; readonly bytes: Buffer } {
  const images = platforms.map((platform) =>
    putImage(layout, {
      platform,
      layers: [tarOf([{ name: 'arch', body: `${platform.os}/${platform.architecture}` }])],
    }),
  );
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: images.map(({ digest, size }, at) => ({
        mediaType: MEDIA_TYPE.ociManifest,
        digest,
        size,
        platform: platforms[at],
      })),
    }),
  );
  const blob = putBlob(layout, bytes);
  nameImage(layout, blob, name, MEDIA_TYPE.ociIndex);
  return { digest: blob.digest, images, bytes };
}
