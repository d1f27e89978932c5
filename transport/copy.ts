import type { Digest } from '../image/digest.ts';
import { type ManifestDocument, manifestDigest, parseManifest } from '../image/manifest.ts';
import { isIndexMediaType } from '../image/media-type.ts';
import { choosePlatform } from '../image/platform.ts';
import {
  type AdmissionPolicy,
  holdsCompanions,
  type ImageReference,
  type ImageSource,
  type ReferrerCounts,
} from './contract.ts';
import { copyOneImage } from './copy-image.ts';
import type { CopyOptions, CopyResult } from './copy-options.ts';
import { type CopiedImage, CopySession } from './copy-session.ts';
import { checkSignatureKinds } from './copy-signatures.ts';
import { TransportError } from './error.ts';
import { readManifest } from './read-manifest.ts';
import { formatImageReference } from './references.ts';

export type {
  CopyOptions,
  CopyResult,
  IndexSelection,
  ReferrerSelection,
} from './copy-options.ts';

/** What a copy needs of a reference that it reads. */
export type CopySource = Pick<ImageReference, 'transport' | 'within' | 'openSource'>;

/**
 * Copies an image, or the images of an index, with everything verified: manifests against their digests, blobs
 * against digest and size on every byte, plain layers against the config's diffIDs. Manifests keep their bytes unless
 * an option or the destination makes them change. The policy is asked about exactly the bytes that are used, image by
 * image. Nothing is visible at the destination before everything is there; running it again after a failure moves
 * only what is missing.
 * @param policy decides what may be read; sign/policy makes one from policy.json
 * @throws TransportError, ImageError, StoreError: whatever reading, converting or writing meets
 */
export async function copyImage(
  policy: AdmissionPolicy,
  source: CopySource,
  destination: ImageReference,
  options: CopyOptions,
): Promise<CopyResult> {
  for (const signer of options.signers ?? []) await signer.prepare();
  await using opened = await openBoth(source, destination, options);
  const session = new CopySession(policy, opened.source, opened.destination, options);
  if (options.signers?.length)
    checkSignatureKinds(
      session,
      options.signers.map(({ kind }) => kind),
    );
  const topLevel = await readManifest(opened.source);
  const { image, images, origin } = await copySelected(session, topLevel);
  const copied = { manifest: image.manifest, digest: image.digest, images, counts: session.counts };
  const referrers = await commitWithReferrers(session, copied, manifestDigest(origin.bytes));
  await options.blobCache?.save();
  const result = referrers ? { ...copied, referrers } : copied;
  reportEnd(session, result);
  return result;
}

function reportEnd(session: CopySession, { manifest: _manifest, ...facts }: CopyResult): void {
  session.report({
    type: 'copied',
    source: formatImageReference(session.source.reference),
    destination: formatImageReference(session.destination.reference),
    ...facts,
  });
}

/** What refers to an image follows it, except into a destination that is written as a whole. */
async function commitWithReferrers(
  session: CopySession,
  result: CopyResult,
  origin: Digest,
): Promise<ReferrerCounts | undefined> {
  const { destination, options } = session;
  const signal = options.signal ? { signal: options.signal } : {};
  if (!options.referrers || !holdsCompanions(destination)) {
    await destination.commit(signal);
    return options.referrers && copyWithReferrers(session, destination.reference, result, origin);
  }
  const companions = await destination.companions(signal);
  const { ociSharedBlobDirectory: _elsewhere, ...whole } = options.destination;
  const counts = await copyWithReferrers(session, companions, result, origin, {
    ...options,
    destination: whole,
  });
  await destination.commit(signal);
  return counts;
}

async function copyWithReferrers(
  session: CopySession,
  place: ImageReference,
  result: CopyResult,
  origin: Digest,
  options: CopyOptions = session.options,
): Promise<ReferrerCounts> {
  const { copyReferrers } = await import('./copy-referrers.ts');
  const { source, destination } = session;
  const counts = await copyReferrers(source, place, result, origin, options, copyImage);
  if (counts.unsupported > 0)
    session.report({
      type: 'warned',
      text: `${formatImageReference(destination.reference)} cannot take ${counts.unsupported} referrers of the image${result.digest === origin ? '' : ', since its digest changed'}`,
    });
  return counts;
}

/** Brings what refers to an image that the destination has already; the image itself is not touched. */
export async function copyReferrersOnly(
  source: ImageReference,
  destination: ImageReference,
  options: CopyOptions,
): Promise<ReferrerCounts> {
  const { copyReferrers } = await import('./copy-referrers.ts');
  await using opened = await source.openSource(options.source);
  const topLevel = await readManifest(opened);
  const { select = 'system' } = options;
  const manifest =
    select === 'system' && isIndex(topLevel) ? await systemImage(opened, topLevel, options) : topLevel;
  const digest = manifestDigest(manifest.bytes);
  return copyReferrers(opened, destination, { manifest, digest }, digest, options, copyImage);
}

/** The destination is opened first, as in containers/image: its complaints are the cheaper ones. */
async function openBoth(source: CopySource, destination: ImageReference, options: CopyOptions) {
  const stack = new AsyncDisposableStack();
  try {
    const to = stack.use(
      await destination
        .openDestination(options.destination)
        .catch(side('initializing destination', destination)),
    );
    const from = stack.use(
      await source.openSource(options.source).catch(side('initializing source', source)),
    );
    const owned = stack.move();
    return { source: from, destination: to, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Prefixes what went wrong with the side it went wrong on; code, hint and facts stay. */
function side(doing: string, reference: CopySource): (error: unknown) => never {
  return (error) => {
    if (error instanceof Error && !error.message.startsWith(doing))
      error.message = `${doing} ${formatImageReference(reference)}: ${error.message}`;
    throw error;
  };
}

async function copySelected(
  session: CopySession,
  topLevel: ManifestDocument,
): Promise<{ readonly image: CopiedImage; readonly images: number; readonly origin: ManifestDocument }> {
  const { select = 'system' } = session.options;
  const manifest = isIndex(topLevel) ? parseManifest(topLevel.bytes, topLevel.mediaType) : undefined;
  if (manifest?.kind !== 'index')
    return { image: await copyOneImage(session, topLevel, topLevel), images: 1, origin: topLevel };
  if (select !== 'system') {
    const { copyIndex } = await import('./copy-index.ts');
    return { ...(await copyIndex(session, topLevel, manifest)), origin: topLevel };
  }
  const document = await systemImage(session.source, topLevel, session.options);
  const instance = manifestDigest(document.bytes);
  const image = await copyOneImage(session, document, topLevel, { instance });
  await session.destination.keepIndex?.(topLevel);
  return { image, images: 1, origin: document };
}

/** The image of an index that the source's platform chooses. */
async function systemImage(
  source: ImageSource,
  { bytes, mediaType }: ManifestDocument,
  options: CopyOptions,
): Promise<ManifestDocument> {
  const index = parseManifest(bytes, mediaType);
  if (index.kind !== 'index') throw new Error('the manifest is no index');
  const chosen = choosePlatform(index.manifests, options.source.platform);
  if (!chosen) {
    const { noPlatform } = await import('./inspect.ts');
    throw noPlatform(source, options.source, index.format);
  }
  const document = await readManifest(source, chosen.digest);
  if (isIndex(document))
    throw new TransportError('unsupported', `${chosen.digest} is an index inside an index`);
  return document;
}

function isIndex({ bytes, mediaType }: ManifestDocument): boolean {
  return isIndexMediaType(mediaType) || parseManifest(bytes, mediaType).kind === 'index';
}
