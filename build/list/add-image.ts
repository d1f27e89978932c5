import { parseImageConfig } from '../../image/config.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { type ImageIndex, parseManifest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { choosePlatform, type Platform } from '../../image/platform.ts';
import type { ImageReference, ImageSource } from '../../transport/contract.ts';
import { formatImageReference } from '../../transport/references.ts';
import type { BuildSurroundings } from '../container/contract.ts';
import { contextOf } from '../container/pull.ts';
import { BuildError } from '../error.ts';
import { type ManifestList, withEntry } from './list.ts';

/**
 * Adds an image to a list, by digest, with the platform that its config or its own list says. Of an image that is a
 * list itself, the one for the surroundings' platform is added, or all.
 * @returns the list and the digest of the (first) entry
 */
export async function addImage(
  surroundings: BuildSurroundings,
  list: ManifestList,
  reference: ImageReference,
  all: boolean,
): Promise<{ readonly list: ManifestList; readonly digest: Digest }> {
  await using source = await reference.openSource(contextOf(surroundings));
  const { bytes, mediaType } = await source.getManifest();
  const manifest = parseManifest(bytes, mediaType);
  const name = formatImageReference(reference);
  if (manifest.kind === 'index') {
    const chosen = all ? manifest.manifests : [chooseEntry(manifest, surroundings.platform, name)];
    let current = list;
    for (const entry of chosen) current = withEntry(current, await completed(source, entry), name);
    const first = chosen[0];
    if (!first) throw new BuildError('bad-argument', `"${name}" is an empty manifest list`);
    return { list: current, digest: first.digest };
  }
  const digest = digestOf(bytes);
  const entry: Descriptor = { mediaType: manifest.mediaType, digest, size: bytes.length };
  return { list: withEntry(list, await completed(source, entry), name), digest };
}

function chooseEntry(index: ImageIndex, platform: Platform, name: string): Descriptor {
  const entry = choosePlatform(index.manifests, platform);
  if (!entry)
    throw new BuildError(
      'bad-argument',
      `selecting image from manifest list in "${name}": no image found in manifest list for architecture "${platform.architecture}", variant "${platform.variant ?? ''}", OS "${platform.os}"`,
    );
  return entry;
}

/** The entry with its platform, read from the image's config where the entry does not say; artifacts have none. */
async function completed(source: ImageSource, entry: Descriptor): Promise<Descriptor> {
  const document = await source.getManifest(entry.digest).catch(() => source.getManifest());
  const manifest = parseManifest(document.bytes, document.mediaType);
  if (manifest.kind !== 'image') return entry;
  const artifactType = manifest.artifactType;
  const withType = artifactType ? { ...entry, artifactType } : entry;
  if (entry.platform?.os && entry.platform.architecture) return withType;
  const isImage =
    manifest.config.mediaType === MEDIA_TYPE.ociConfig ||
    manifest.config.mediaType === MEDIA_TYPE.dockerConfig;
  if (artifactType || !isImage) return withType;
  return { ...withType, platform: await platformOfConfig(source, manifest.config) };
}

async function platformOfConfig(source: ImageSource, descriptor: Descriptor): Promise<Platform> {
  const { stream } = await source.getBlob(descriptor);
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  const config = parseImageConfig(Buffer.concat(chunks));
  return {
    os: config.os,
    architecture: config.architecture,
    ...(config.variant ? { variant: config.variant } : {}),
    ...(config['os.version'] ? { 'os.version': config['os.version'] } : {}),
    ...(config['os.features']?.length ? { 'os.features': config['os.features'] } : {}),
  };
}
