import {
  createReadStream,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import type { Annotations, Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf, encodedOf } from '../../image/digest.ts';
import { goJson } from '../../image/go-json.ts';
import { parseManifest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { ociDescriptor } from '../../image/serialize.ts';
import { packLayer } from '../../store/layer/pack.ts';
import { paddingOf, TAR_TYPE } from '../../store/layer/tar-entry.ts';
import { encodeTarHeader } from '../../store/layer/tar-header.ts';
import { compress } from '../../transport/compress.ts';
import type { ImageDestination, TransportContext } from '../../transport/contract.ts';
import { parseImageReference } from '../../transport/references.ts';
import { BuildError } from '../error.ts';

/** The config's media type by which a source image is known. */
export const SOURCE_CONFIG_TYPE = 'application/vnd.oci.source.image.config.v1+json';

/** Where source images are worked on. */
export interface SourceSurroundings {
  readonly workingDirectory: string;
  readonly context: TransportContext;
}

/**
 * Makes an empty source image: an OCI layout of one manifest without layers.
 * @throws BuildError `bad-argument` where something is at the path already
 */
export async function createSourceImage(
  path: string,
  config: { readonly author?: string; readonly created?: Date },
  surroundings: SourceSurroundings,
): Promise<void> {
  if (existsSync(resolve(surroundings.workingDirectory, layoutPath(path))))
    throw new BuildError('bad-argument', `creating source image: "${path}" already exists`);
  const bytes = goJson({
    created: config.created?.toISOString(),
    author: config.author || undefined,
  });
  const reference = await parseImageReference(`oci:${path}`, surroundings);
  await using destination = await reference.openDestination(surroundings.context);
  const descriptor: Descriptor = {
    mediaType: SOURCE_CONFIG_TYPE,
    digest: digestOf(bytes),
    size: bytes.length,
  };
  await destination.putBlob({ stream: Readable.from([bytes]), sizeBytes: bytes.length }, descriptor, {
    isConfig: true,
  });
  await destination.putManifest(sourceManifest(descriptor, []), MEDIA_TYPE.ociManifest);
  await destination.commit();
}

/**
 * Adds a file or directory to a source image as a compressed layer.
 * @throws BuildError `missing-file`, `bad-argument`
 */
export async function addToSourceImage(
  path: string,
  artifact: string,
  annotations: Annotations,
  surroundings: SourceSurroundings,
): Promise<void> {
  const directory = resolve(surroundings.workingDirectory, layoutPath(path));
  for (const place of [directory, resolve(surroundings.workingDirectory, artifact)])
    if (!existsSync(place)) throw new BuildError('missing-file', `stat ${place}: no such file or directory`);
  const reference = await parseImageReference(`oci:${path}`, surroundings);
  const { old, config, layers } = await readSource(path, surroundings);
  {
    await using destination = await reference.openDestination(surroundings.context);
    const layer = await putArtifact(destination, resolve(surroundings.workingDirectory, artifact));
    const added = { ...layer, ...(Object.keys(annotations).length ? { annotations } : {}) };
    await destination.putManifest(sourceManifest(config, [...layers, added]), MEDIA_TYPE.ociManifest);
    await destination.commit();
  }
  forget(directory, old);
}

/** @throws BuildError `bad-argument` for another kind of image */
export async function readSource(
  path: string,
  surroundings: SourceSurroundings,
): Promise<{ readonly old: Digest; readonly config: Descriptor; readonly layers: readonly Descriptor[] }> {
  const reference = await parseImageReference(`oci:${path}`, surroundings);
  await using source = await reference.openSource(surroundings.context);
  const { bytes, mediaType } = await source.getManifest();
  const manifest = parseManifest(bytes, mediaType);
  if (manifest.kind !== 'image') throw new BuildError('bad-argument', `"${path}" is not a source image`);
  return { old: digestOf(bytes), config: manifest.config, layers: manifest.layers };
}

/** @throws BuildError `bad-argument` where the config's media type says that it is no source image */
export function requireSourceConfig(config: Descriptor): void {
  if (config.mediaType === SOURCE_CONFIG_TYPE) return;
  throw new BuildError(
    'bad-argument',
    `invalid media type of image config "${config.mediaType}" (expected: "${SOURCE_CONFIG_TYPE}")`,
  );
}

/** As Buildah writes it: `layers` is null while there are none. */
function sourceManifest(config: Descriptor, layers: readonly Descriptor[]): Uint8Array {
  return goJson({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: ociDescriptor(config),
    layers: layers.length ? layers.map(ociDescriptor) : null,
  });
}

async function putArtifact(destination: ImageDestination, path: string): Promise<Descriptor> {
  const stream = compress(artifactTar(path), { format: 'gzip' });
  const put = await destination.putBlob(
    { stream },
    { mediaType: MEDIA_TYPE.ociLayerGzip },
    { isConfig: false },
  );
  return { mediaType: MEDIA_TYPE.ociLayerGzip, digest: put.digest, size: put.size };
}

function artifactTar(path: string): Readable {
  if (!statSync(path).isDirectory()) return Readable.from(fileTar(path));
  const output = new PassThrough({ highWaterMark: 1 << 20 });
  packLayer(path, output, { whiteouts: 'none' }).then(
    () => output.end(),
    (error: unknown) => output.destroy(error as Error),
  );
  return output;
}

async function* fileTar(path: string): AsyncGenerator<Buffer> {
  const status = statSync(path);
  yield encodeTarHeader({
    name: Buffer.from(basename(path)).toString('latin1'),
    linkName: '',
    type: TAR_TYPE.file,
    mode: status.mode & 0o7777,
    uid: status.uid,
    gid: status.gid,
    userName: '',
    groupName: '',
    sizeBytes: status.size,
    modifiedNs: BigInt(Math.floor(status.mtimeMs)) * 1_000_000n,
    deviceMajor: 0,
    deviceMinor: 0,
    pax: new Map(),
  });
  if (status.size > 0) yield* createReadStream(path, { end: status.size - 1 }) as AsyncIterable<Buffer>;
  yield Buffer.alloc(paddingOf(status.size));
  yield Buffer.alloc(1024);
}

/** The manifest that was replaced leaves the index and the blobs. */
function forget(directory: string, old: Digest): void {
  const path = join(directory, 'index.json');
  const index = JSON.parse(readFileSync(path, 'utf8')) as { manifests: { digest: string }[] };
  const manifests = index.manifests.filter((entry) => entry.digest !== old);
  writeFileSync(`${path}.tmp`, JSON.stringify({ ...index, manifests }));
  renameSync(`${path}.tmp`, path);
  rmSync(join(directory, 'blobs/sha256', encodedOf(old)), { force: true });
}

/** `path[:tag]` of an OCI layout. */
function layoutPath(path: string): string {
  const colon = path.indexOf(':');
  return colon < 0 ? path : path.slice(0, colon);
}
