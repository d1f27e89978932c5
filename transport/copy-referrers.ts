import type { Digest } from '../image/digest.ts';
import { manifestDigest, parseManifest } from '../image/manifest.ts';
import { isIndexMediaType } from '../image/media-type.ts';
import {
  type AdmissionPolicy,
  type ImageReference,
  type ImageSource,
  listsReferrers,
  type ReferrerCounts,
  type TransportContext,
} from './contract.ts';
import type { CopyOptions, CopyResult } from './copy-options.ts';
import { TransportError } from './error.ts';
import { type ImageSelector, selectImage } from './select-image.ts';

const DEPTH_LIMIT = 8;
const LIMIT_REFERRERS = 10_000;
/** Cosign's tags beside an image: `sha256-<hex>.sig`. */
const COSIGN_SUFFIXES = ['sig', 'att', 'sbom'];

/** They are moved, not trusted: the policy has spoken about the image that they describe. */
const MOVED: AdmissionPolicy = { async admit() {} };

/** Copies one image; {@link copyImage}, handed in so that this file does not import it. */
export type CopyFunction = (
  policy: AdmissionPolicy,
  source: ImageReference,
  destination: ImageReference,
  options: CopyOptions,
) => Promise<CopyResult>;

interface Walk {
  readonly source: ImageSource;
  readonly destination: ImageReference;
  readonly options: CopyOptions;
  readonly copy: CopyFunction;
  readonly seen: Set<string>;
  readonly counts: { copied: number; present: number; unsupported: number };
}

/**
 * Copies what refers to an image that was copied: referrers by the API or its fallback tag, their own referrers, and
 * Cosign's tags, for the image and, where it is an index, for its children. They name the image by its digest, so
 * those of an image that got another one stay behind and are counted.
 * @param origin the digest that the image has at the source
 */
export async function copyReferrers(
  source: ImageSource,
  destination: ImageReference,
  result: Pick<CopyResult, 'manifest' | 'digest'>,
  origin: Digest,
  options: CopyOptions,
  copy: CopyFunction,
): Promise<ReferrerCounts> {
  const walk: Walk = {
    source,
    destination,
    options,
    copy,
    seen: new Set(),
    counts: { copied: 0, present: 0, unsupported: 0 },
  };
  if (result.digest === origin)
    for (const subject of await subjectsOf(result)) await follow(walk, subject, 0);
  else walk.counts.unsupported += (await referrersOf(walk, origin)).length;
  return walk.counts;
}

async function subjectsOf({
  manifest,
  digest,
}: Pick<CopyResult, 'manifest' | 'digest'>): Promise<readonly Digest[]> {
  if (!isIndexMediaType(manifest.mediaType)) return [digest];
  const index = parseManifest(manifest.bytes, manifest.mediaType);
  return index.kind === 'index' ? [digest, ...index.manifests.map((entry) => entry.digest)] : [digest];
}

async function follow(walk: Walk, subject: Digest, depth: number): Promise<void> {
  if (depth > DEPTH_LIMIT || walk.seen.has(subject)) return;
  walk.seen.add(subject);
  for (const digest of await referrersOf(walk, subject)) {
    if (walk.seen.size > LIMIT_REFERRERS)
      throw new TransportError('registry', `more than ${LIMIT_REFERRERS} referrers`);
    await carry(walk, { digest });
    await follow(walk, digest, depth + 1);
  }
  for (const suffix of COSIGN_SUFFIXES) {
    const tag = `${subject.replace(':', '-')}.${suffix}`;
    if (wantsCosign(walk, suffix) && (await hasTag(walk, tag))) await carry(walk, { tag });
  }
}

async function referrersOf({ source, options }: Walk, subject: Digest): Promise<readonly Digest[]> {
  if (!listsReferrers(source)) return [];
  const types = options.referrers?.artifactTypes;
  const signal = options.signal ? { signal: options.signal } : {};
  const found = await source.listReferrers(subject, signal);
  return found
    .filter(({ artifactType }) => types === undefined || types.includes(artifactType ?? ''))
    .map(({ digest }) => digest);
}

/** Cosign's tags have no artifact type of their own: their suffix stands for it in a filter. */
function wantsCosign({ options }: Walk, suffix: string): boolean {
  const types = options.referrers?.artifactTypes;
  return types === undefined || types.includes(suffix);
}

async function hasTag({ source, options }: Walk, tag: string): Promise<boolean> {
  const reference = await selectImage(source.reference, { tag });
  return reference !== undefined && (await sourceDigest(reference, options.source)) !== undefined;
}

async function carry(walk: Walk, selector: ImageSelector): Promise<void> {
  const { source, destination, options, copy, counts } = walk;
  const from = await selectImage(source.reference, selector);
  // An archive that is there already is only ever replaced as a whole.
  const to = destination.transport === 'oci-archive' ? undefined : await selectImage(destination, selector);
  if (from === undefined) return;
  if (to === undefined) {
    counts.unsupported += 1;
    return;
  }
  const there = await digestAt(to, options.destination);
  if (there !== undefined && ('digest' in selector || there === (await sourceDigest(from, options.source)))) {
    counts.present += 1;
    return;
  }
  await copy(MOVED, from, to, {
    source: options.source,
    destination: options.destination,
    select: 'all',
    preserveDigests: true,
    removeSignatures: true,
    ...(options.blobCache ? { blobCache: options.blobCache } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
  });
  counts.copied += 1;
}

/** At the place that the source is read from, which may be a mirror. */
async function sourceDigest(
  reference: ImageReference,
  context: TransportContext,
): Promise<Digest | undefined> {
  if (reference.transport !== 'docker' || !reference.named) return digestAt(reference, context);
  const { digestInPlaces } = await import('./docker/places.ts');
  return digestInPlaces(reference.named, context);
}

/** Undefined where no such image is there. */
async function digestAt(reference: ImageReference, context: TransportContext): Promise<Digest | undefined> {
  try {
    if (reference.transport === 'docker' && reference.named) {
      const { openRepository } = await import('./docker/repository.ts');
      const { digest, tag } = reference.named;
      const repository = await openRepository(reference.named, context, 'pull');
      return await repository.manifestDigest(digest ?? (tag as string));
    }
    await using source = await reference.openSource(context);
    return manifestDigest((await source.getManifest()).bytes);
  } catch (error) {
    if (error instanceof TransportError && error.code === 'not-found') return undefined;
    throw error;
  }
}
