import { convertIndex, type ManifestFormat } from '../image/convert.ts';
import type { Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import {
  type ImageIndex,
  type ManifestDocument,
  manifestDigest,
  matchesManifestDigest,
  parseManifest,
} from '../image/manifest.ts';
import { isIndexMediaType, MEDIA_TYPE } from '../image/media-type.ts';
import { formatPlatform, type Platform } from '../image/platform.ts';
import { serializeIndex } from '../image/serialize.ts';
import { missingVariants, type Variant, variantEntry } from './compression-variants.ts';
import type { StoredSignature } from './contract.ts';
import { copyOneImage } from './copy-image.ts';
import type { IndexSelection } from './copy-options.ts';
import type { CopiedImage, CopySession } from './copy-session.ts';
import { keptSignatures, sign } from './copy-signatures.ts';
import { TransportError } from './error.ts';
import { readManifest } from './read-manifest.ts';

const DEPTH_LIMIT = 8;

/** Where an index stands: its digest as a child of another one, and the indexes around it. */
interface IndexPlace {
  readonly instance?: Digest;
  readonly ancestors: readonly Digest[];
}

/**
 * Copies an index with all or some of its images, children before parents.
 * @throws TransportError `unsupported` where the destination holds no indexes, or a frozen one would have to change
 */
export async function copyIndex(
  session: CopySession,
  document: ManifestDocument,
  index: ImageIndex,
  place: IndexPlace = { ancestors: [] },
): Promise<{ readonly image: CopiedImage; readonly images: number }> {
  const { source, destination } = session;
  if (!destination.acceptsIndexes)
    throw new TransportError(
      'unsupported',
      `copying multiple images: destination transport ${JSON.stringify(destination.reference.transport)} does not support copying multiple images as a group`,
      { hint: 'copy one image, without --all and --multi-arch' },
    );
  const signatures = () => source.getSignatures(place.instance);
  const kept = await keptSignatures(session, signatures, true);
  checkRequired(session, document, place);
  const frozen = frozenReason(session, kept);
  const variants = variantsOf(session, index, frozen);
  const format = variants.length ? 'oci' : targetFormat(session, index, frozen);
  const picked = pick(session, index, frozen);
  if (picked.copied.length === 0)
    await session.policy.admit({ reference: source.reference, manifest: document, signatures });
  const { copied, images } = await copyChildren(session, picked.copied, index, document, place);
  const added = await copyVariants(session, variants, document);
  const edited = convertIndex(editIndex(index, picked.kept, copied), format);
  const whole = added.length ? { ...edited, manifests: [...edited.manifests, ...added] } : edited;
  session.say('manifest', 'Writing manifest list to image destination');
  const written = await writeIndex(session, document, index, whole, frozen, place);
  session.say('signatures', 'Storing list signatures');
  await sign(session, written, kept, place.instance !== undefined);
  return { image: written, images: images + added.length };
}

/** @throws TransportError `bad-option` where the index may not change, or must not be an OCI index */
function variantsOf(session: CopySession, index: ImageIndex, frozen: string | undefined): readonly Variant[] {
  const { addCompressions = [], format, select } = session.options;
  if (addCompressions.length === 0 || select === 'index-only') return [];
  const variants = missingVariants(index, addCompressions);
  if (variants.length && frozen !== undefined)
    throw new TransportError(
      'bad-option',
      `images in other compressions cannot be added to the manifest list: ${frozen}`,
    );
  if (variants.length && format !== undefined && format !== 'oci')
    throw new TransportError('bad-option', `images in other compressions need the format oci, not ${format}`);
  return variants;
}

async function copyVariants(
  session: CopySession,
  variants: readonly Variant[],
  topLevel: ManifestDocument,
): Promise<Descriptor[]> {
  const added: Descriptor[] = [];
  for (const variant of variants) {
    const { entry, format } = variant;
    session.say('image', `Copying image ${entry.digest} with ${format}`);
    const document = await readManifest(session.source, entry.digest);
    const place = { instance: entry.digest, asChild: true };
    const { manifest, digest } = await copyOneImage(session.compressing(format), document, topLevel, place);
    const { bytes, mediaType } = manifest;
    added.push(variantEntry(variant, { mediaType, digest, size: bytes.length }));
  }
  return added;
}

function checkRequired(session: CopySession, document: ManifestDocument, place: IndexPlace): void {
  const { requiredDigest } = session.destination;
  if (requiredDigest === undefined || place.instance !== undefined) return;
  if (!matchesManifestDigest(document.bytes, requiredDigest))
    throw new TransportError(
      'digest-mismatch',
      "Digest of source image's manifest would not match destination reference",
    );
}

function frozenReason(session: CopySession, kept: readonly StoredSignature[]): string | undefined {
  if (session.options.preserveDigests) return 'Instructed to preserve digests';
  if (session.destination.requiredDigest) return 'Destination specifies a digest';
  return kept.length
    ? 'Would invalidate signatures; consider removing them from the multi-platform list'
    : undefined;
}

/** The format of the index to write: its own where the destination takes it, else the one that it takes. */
function targetFormat(session: CopySession, index: ImageIndex, frozen: string | undefined): ManifestFormat {
  const { format } = session.options;
  const { manifestTypes } = session.destination;
  const takes = (type: string) => manifestTypes.length === 0 || manifestTypes.includes(type);
  const wanted: ManifestFormat =
    format !== undefined
      ? format === 'oci'
        ? 'oci'
        : 'docker'
      : takes(index.mediaType)
        ? index.format
        : index.format === 'oci'
          ? 'docker'
          : 'oci';
  const type = wanted === 'oci' ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.dockerList;
  // A format that was asked for is written as it is, as single images are.
  if (format === undefined && !takes(type) && frozen === undefined)
    throw new TransportError(
      'unsupported',
      `the destination does not support manifest lists of type ${type}`,
    );
  if (wanted !== index.format && frozen !== undefined) {
    if (format === undefined) return index.format;
    throw new TransportError(
      'bad-option',
      `Manifest list must be converted to type ${JSON.stringify(type)} to be written to destination, but we cannot modify it: ${frozen}`,
    );
  }
  return wanted;
}

interface Picked {
  /** Images to copy. */
  readonly copied: readonly Descriptor[];
  /** Entries that the written index has. */
  readonly kept: readonly Descriptor[];
}

/** @throws TransportError `not-found` for a platform that is not there, `bad-option` where stripping is forbidden */
function pick(session: CopySession, index: ImageIndex, frozen: string | undefined): Picked {
  const { select = 'all', sparse = 'keep' } = session.options;
  const copied = index.manifests.filter(selector(select, index));
  const strips = sparse === 'strip' && copied.length < index.manifests.length;
  const missing = index.manifests.find((entry) => !copied.includes(entry));
  if (strips && frozen !== undefined)
    throw new TransportError(
      'bad-option',
      `we should delete instance ${missing?.digest} from manifest list, but we cannot: ${frozen}`,
    );
  if (strips && copied.length === 0)
    throw new TransportError(
      'bad-option',
      'requested operation filtered out all platforms and would create an empty image',
    );
  return { copied, kept: strips ? copied : index.manifests };
}

/** The digest of an index after all but some platforms were stripped from it; undefined where none is stripped. */
export function strippedDigest(index: ImageIndex, platforms: readonly Platform[]): Digest | undefined {
  const manifests = index.manifests.filter(selector({ platforms }, index));
  if (manifests.length === index.manifests.length) return undefined;
  return manifestDigest(serializeIndex({ ...index, manifests }));
}

function selector(select: IndexSelection, index: ImageIndex): (entry: Descriptor) => boolean {
  if (select === 'all' || select === 'system') return () => true;
  if (select === 'index-only') return () => false;
  const { digests = [], platforms = [] } = select;
  for (const platform of platforms)
    if (!index.manifests.some((entry) => matches(entry, platform)))
      throw new TransportError('not-found', `no instances found for platform ${formatPlatform(platform)}`, {
        hint: `it has ${index.manifests.map((entry) => (entry.platform ? formatPlatform(entry.platform) : 'unknown')).join(', ')}`,
      });
  const unknown = digests.find((digest) => !index.manifests.some((entry) => entry.digest === digest));
  if (unknown) throw new TransportError('not-found', `the index has no image ${unknown}`);
  return (entry) => digests.includes(entry.digest) || platforms.some((platform) => matches(entry, platform));
}

/** All variants of a platform, unless one is named. */
function matches(entry: Descriptor, platform: Platform): boolean {
  return (
    (entry.platform?.os ?? '') === platform.os &&
    (entry.platform?.architecture ?? '') === platform.architecture &&
    (!platform.variant || entry.platform?.variant === platform.variant)
  );
}

async function copyChildren(
  session: CopySession,
  entries: readonly Descriptor[],
  index: ImageIndex,
  document: ManifestDocument,
  place: IndexPlace,
): Promise<{ readonly copied: ReadonlyMap<Digest, CopiedImage>; readonly images: number }> {
  const copied = new Map<Digest, CopiedImage>();
  let images = 0;
  session.say(
    'image',
    `Copying ${entries.length} images generated from ${index.manifests.length} images in list`,
  );
  for (const [at, entry] of entries.entries()) {
    if (copied.has(entry.digest)) continue;
    session.say('image', `Copying image ${entry.digest} (${at + 1}/${entries.length})`);
    const child = await copyChild(session, entry, document, place);
    copied.set(entry.digest, child.image);
    images += child.images;
  }
  return { copied, images };
}

async function copyChild(
  session: CopySession,
  entry: Descriptor,
  topLevel: ManifestDocument,
  place: IndexPlace,
): Promise<{ readonly image: CopiedImage; readonly images: number }> {
  const ancestors = [...place.ancestors, manifestDigest(topLevel.bytes)];
  if (ancestors.includes(entry.digest) || ancestors.length > DEPTH_LIMIT)
    throw new TransportError(
      'bad-layout',
      ancestors.includes(entry.digest)
        ? `the index ${entry.digest} refers to itself`
        : `indexes are nested deeper than ${DEPTH_LIMIT} levels`,
    );
  const document = await readManifest(session.source, entry.digest);
  if (document.bytes.length !== entry.size)
    throw new TransportError(
      'size-mismatch',
      `manifest ${entry.digest} has ${document.bytes.length} bytes, its index says ${entry.size}`,
    );
  if (!isIndexMediaType(document.mediaType || entry.mediaType)) {
    const image = await copyOneImage(session, document, topLevel, { instance: entry.digest, asChild: true });
    return { image, images: 1 };
  }
  const nested = parseManifest(document.bytes, document.mediaType);
  if (nested.kind !== 'index') throw new TransportError('bad-layout', `${entry.digest} is not an index`);
  return copyIndex(session, document, nested, { instance: entry.digest, ancestors });
}

/** The index with the digests, sizes and types that its images have now. */
function editIndex(
  index: ImageIndex,
  kept: readonly Descriptor[],
  copied: ReadonlyMap<Digest, CopiedImage>,
): ImageIndex {
  const manifests = kept.map((entry) => {
    const image = copied.get(entry.digest);
    if (!image || image.digest === entry.digest) return entry;
    const { bytes, mediaType } = image.manifest;
    return { ...entry, digest: image.digest, size: bytes.length, mediaType };
  });
  return { ...index, manifests };
}

async function writeIndex(
  session: CopySession,
  document: ManifestDocument,
  original: ImageIndex,
  index: ImageIndex,
  frozen: string | undefined,
  place: IndexPlace,
): Promise<CopiedImage> {
  const same =
    index.format === original.format &&
    index.manifests.length === original.manifests.length &&
    index.manifests.every((entry, at) => entry === original.manifests[at]);
  if (!same && frozen !== undefined)
    throw new TransportError(
      'unsupported',
      `Manifest list was edited, but we cannot modify it: ${JSON.stringify(frozen)}`,
    );
  const manifest = same
    ? { bytes: document.bytes, mediaType: original.mediaType }
    : { bytes: serializeIndex(index), mediaType: index.mediaType };
  const digest = manifestDigest(manifest.bytes);
  await session.destination.putManifest(
    manifest.bytes,
    manifest.mediaType,
    place.instance === undefined ? undefined : digest,
  );
  return { manifest, digest };
}
