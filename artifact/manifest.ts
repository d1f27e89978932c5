import type { Descriptor } from '../image/descriptor.ts';
import { guessManifestMediaType, type ManifestDocument, parseManifest } from '../image/manifest.ts';
import { choosePlatform, type Platform } from '../image/platform.ts';
import type { ImageReference, TransportContext } from '../transport/contract.ts';
import { readVerifiedBlob } from '../transport/read-blob.ts';
import { readManifest } from '../transport/read-manifest.ts';
import { formatImageReference } from '../transport/references.ts';
import { selectImage } from '../transport/select-image.ts';
import { ArtifactError } from './error.ts';
import { describeManifest } from './push.ts';

/** A manifest as it is stored, and its descriptor. */
export interface FetchedManifest extends ManifestDocument {
  readonly descriptor: Descriptor;
}

/**
 * The manifest that a reference names, as `oras manifest fetch`.
 * @param platform of an index, the manifest for this platform; absent: the index itself
 * @throws ArtifactError `not-an-artifact` where there is none for the platform
 */
export async function fetchManifest(
  reference: ImageReference,
  context: TransportContext,
  platform?: Platform,
): Promise<FetchedManifest> {
  await using source = await reference.openSource(context);
  const top = await readManifest(source);
  const manifest = platform ? parseManifest(top.bytes, top.mediaType) : undefined;
  if (manifest?.kind !== 'index' || !platform) return described(top);
  const chosen = choosePlatform(manifest.manifests, platform);
  if (chosen) return described(await readManifest(source, chosen.digest));
  const { os, architecture } = platform;
  throw new ArtifactError(
    'not-an-artifact',
    `${formatImageReference(reference)} has no manifest for ${os}/${architecture}`,
  );
}

function described(document: ManifestDocument): FetchedManifest {
  return { ...document, descriptor: describeManifest(document) };
}

/** The config of what a reference names, as it is stored. @throws ArtifactError `not-an-artifact` for an index */
export async function fetchConfig(
  reference: ImageReference,
  context: TransportContext,
  platform?: Platform,
): Promise<{ readonly bytes: Uint8Array; readonly descriptor: Descriptor }> {
  const { bytes, mediaType } = await fetchManifest(reference, context, platform);
  const manifest = parseManifest(bytes, mediaType);
  if (manifest.kind !== 'image')
    throw new ArtifactError(
      'not-an-artifact',
      `${formatImageReference(reference)} is an index: it has no config`,
      { hint: 'choose one of its manifests with --platform' },
    );
  await using source = await reference.openSource(context);
  return { bytes: await readVerifiedBlob(source, manifest.config), descriptor: manifest.config };
}

/**
 * Stores manifest bytes under the reference, as `oras manifest push`. What it names must be there already.
 * @param mediaType default: what the bytes say
 * @throws ArtifactError `not-an-artifact` for bytes that are no manifest
 */
export async function storeManifest(
  reference: ImageReference,
  bytes: Uint8Array,
  context: TransportContext,
  mediaType?: string,
): Promise<Descriptor> {
  const type = mediaType ?? guessManifestMediaType(bytes);
  if (type === undefined)
    throw new ArtifactError('not-an-artifact', 'the media type of the manifest cannot be told', {
      hint: 'give it with --media-type, or in the mediaType of the manifest',
    });
  parseManifest(bytes, type);
  await using destination = await reference.openDestination(context);
  await destination.putManifest(bytes, type);
  await destination.commit(context.signal ? { signal: context.signal } : {});
  return describeManifest({ bytes, mediaType: type });
}

/**
 * Gives what a reference names more tags in its repository or layout, as `oras tag`.
 * @returns the descriptor of what has the tags now
 * @throws ArtifactError `unsupported` for a place that holds one image alone
 */
export async function tagArtifact(
  reference: ImageReference,
  tags: readonly string[],
  context: TransportContext,
): Promise<Descriptor> {
  const { bytes, mediaType, descriptor } = await fetchManifest(reference, context);
  for (const tag of tags) {
    const target = await selectImage(reference, { tag });
    if (target === undefined || reference.transport === 'oci-archive')
      throw new ArtifactError('unsupported', `${reference.transport}: takes no further tags`);
    await storeManifest(target, bytes, context, mediaType);
  }
  return descriptor;
}
