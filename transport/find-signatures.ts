import { algorithmOf, type Digest, encodedOf } from '../image/digest.ts';
import { ImageError } from '../image/error.ts';
import { manifestDigest, parseManifest } from '../image/manifest.ts';
import { choosePlatform } from '../image/platform.ts';
import { type NamedReference, repositoryOf } from '../image/reference.ts';
import {
  excessiveAttachments,
  SIGNATURE_LIMIT_BYTES,
  SIGNATURE_LIMIT_COUNT,
  type SignatureBlob,
} from '../image/signature.ts';
import { type ImageSource, listsReferrers, type TransportContext } from './contract.ts';
import { TransportError } from './error.ts';
import { readVerifiedBlob } from './read-blob.ts';
import { parseImageReference } from './references.ts';

/** How a signature is kept, which decides who can see it. */
export type SignatureForm = 'simple' | 'cosign-tag' | 'bundle' | 'notation';

/** One thing beside an image that claims to sign it. Unverified. */
export interface SignatureCandidate {
  readonly form: SignatureForm;
  /** The manifest it is kept for. */
  readonly subject: Digest;
  readonly content:
    | SignatureBlob
    | { readonly kind: 'bundle'; readonly bytes: Uint8Array }
    | { readonly kind: 'notation' }
    | { readonly kind: 'broken'; readonly reason: string };
}

/** An image and whatever signs it. */
export interface SignatureSearch {
  /** The index and its images, or the image alone; the first is what the reference names. */
  readonly subjects: readonly { readonly digest: Digest; readonly what: string }[];
  readonly candidates: readonly SignatureCandidate[];
}

const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle[.+]/;
const NOTATION = 'application/vnd.cncf.notary.signature';
const MALFORMED: readonly string[] = ['digest-mismatch', 'size-mismatch'];

/**
 * Looks for signatures of every form: what the transport itself holds, Cosign's tag whatever registries.d says, and
 * referrers. For an index: of itself and of the context's platform, or with `all` of every image.
 * @throws TransportError of the transport; a single malformed candidate becomes a `broken` one instead
 */
export async function findSignatures(
  source: ImageSource,
  context: TransportContext,
  options: { readonly all?: boolean } = {},
): Promise<SignatureSearch> {
  const top = await source.getManifest();
  const subjects: { digest: Digest; what: string; instance?: Digest }[] = [
    { digest: manifestDigest(top.bytes), what: 'image' },
  ];
  const manifest = parseManifest(top.bytes, top.mediaType);
  if (manifest.kind === 'index') {
    subjects[0] = { digest: manifestDigest(top.bytes), what: 'index' };
    const chosen = options.all
      ? manifest.manifests
      : [choosePlatform(manifest.manifests, context.platform)].filter((entry) => entry !== undefined);
    for (const { digest, platform } of chosen)
      subjects.push({
        digest,
        instance: digest,
        what: platform ? `${platform.os}/${platform.architecture}` : 'image',
      });
  }
  const candidates: SignatureCandidate[] = [];
  for (const { digest, instance } of subjects)
    candidates.push(...(await candidatesFor(source, context, digest, instance)));
  return { subjects, candidates };
}

async function candidatesFor(
  source: ImageSource,
  context: TransportContext,
  subject: Digest,
  instance: Digest | undefined,
): Promise<SignatureCandidate[]> {
  const { named } = source.reference;
  const own = await source.getSignatures(instance);
  const inRegistry = source.reference.transport === 'docker' && named !== undefined;
  const kept = own.filter(({ kind }) => kind === 'simple' || !inRegistry);
  return [
    ...kept.map(
      (content): SignatureCandidate => ({
        form: content.kind === 'simple' ? 'simple' : 'cosign-tag',
        subject,
        content,
      }),
    ),
    ...(inRegistry ? await orBroken('cosign-tag', subject, () => attachments(named, context, subject)) : []),
    ...(await referrers(source, context, subject)),
  ];
}

/** The layers of `sha256-<hex>.sig`. */
async function attachments(
  named: NamedReference,
  context: TransportContext,
  subject: Digest,
): Promise<SignatureCandidate[]> {
  const tag = `${algorithmOf(subject)}-${encodedOf(subject)}.sig`;
  const opened = await openIfThere(`docker://${repositoryOf(named)}:${tag}`, context);
  if (!opened) return [];
  await using source = opened;
  const document = await source.getManifest();
  const manifest = parseManifest(document.bytes, document.mediaType);
  if (manifest.kind !== 'image')
    return [broken('cosign-tag', subject, 'the attachment is no image manifest')];
  const tooMany = excessiveAttachments(manifest.layers);
  if (tooMany !== undefined) return [broken('cosign-tag', subject, tooMany)];
  const candidates: SignatureCandidate[] = [];
  for (const layer of manifest.layers)
    candidates.push({
      form: 'cosign-tag',
      subject,
      content: {
        kind: 'sigstore',
        mediaType: layer.mediaType,
        annotations: layer.annotations ?? {},
        payload: await readVerifiedBlob(source, layer, { limitBytes: SIGNATURE_LIMIT_BYTES }),
      },
    });
  return candidates;
}

async function referrers(
  source: ImageSource,
  context: TransportContext,
  subject: Digest,
): Promise<SignatureCandidate[]> {
  if (!listsReferrers(source)) return [];
  const found = await source.listReferrers(subject, context.signal ? { signal: context.signal } : {});
  const candidates: SignatureCandidate[] = [];
  for (const { artifactType = '', digest } of found.slice(0, SIGNATURE_LIMIT_COUNT)) {
    if (artifactType === NOTATION)
      candidates.push({ form: 'notation', subject, content: { kind: 'notation' } });
    else if (BUNDLE.test(artifactType))
      candidates.push(
        ...(await orBroken('bundle', subject, async () => [
          await bundleOf(source, context, subject, digest),
        ])),
      );
  }
  return candidates;
}

async function bundleOf(
  source: ImageSource,
  context: TransportContext,
  subject: Digest,
  referrer: Digest,
): Promise<SignatureCandidate> {
  const { named } = source.reference;
  const opened = named && (await openIfThere(`docker://${repositoryOf(named)}@${referrer}`, context));
  if (!opened) return broken('bundle', subject, `the referrer ${referrer} is gone`);
  await using bundle = opened;
  const document = await bundle.getManifest();
  const manifest = parseManifest(document.bytes, document.mediaType);
  const layer = manifest.kind === 'image' && manifest.layers.length === 1 ? manifest.layers[0] : undefined;
  if (!layer || manifest.kind !== 'image' || manifest.subject?.digest !== subject)
    return broken('bundle', subject, `the referrer ${referrer} is not a bundle for this manifest`);
  const bytes = await readVerifiedBlob(bundle, layer, { limitBytes: SIGNATURE_LIMIT_BYTES });
  return { form: 'bundle', subject, content: { kind: 'bundle', bytes } };
}

/** What is malformed is listed as such; a registry that cannot be asked is an error. */
async function orBroken(
  form: SignatureForm,
  subject: Digest,
  read: () => Promise<SignatureCandidate[]>,
): Promise<SignatureCandidate[]> {
  try {
    return await read();
  } catch (error) {
    const isMalformed =
      error instanceof ImageError || (error instanceof TransportError && MALFORMED.includes(error.code));
    if (!isMalformed) throw error;
    return [broken(form, subject, error.message)];
  }
}

function broken(form: SignatureForm, subject: Digest, reason: string): SignatureCandidate {
  return { form, subject, content: { kind: 'broken', reason } };
}

async function openIfThere(text: string, context: TransportContext): Promise<ImageSource | undefined> {
  const reference = await parseImageReference(text, { workingDirectory: '/' });
  try {
    return await reference.openSource(context);
  } catch (error) {
    if (error instanceof TransportError && error.code === 'not-found') return undefined;
    throw error;
  }
}
