import { type ImageConfig, parseImageConfig } from '../../image/config.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { type ImageManifest, matchesManifestDigest, parseManifest } from '../../image/manifest.ts';
import { choosePlatform, formatPlatform } from '../../image/platform.ts';
import type { AdmissionPolicy, ImageSource, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';

/** One image of a reference: the manifest of the context's platform, its config and layers. */
export interface LookedAtImage {
  readonly source: ImageSource;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
  readonly layers: readonly Descriptor[];
}

const LIMIT_CONFIG_BYTES = 4 * 1024 * 1024;
const LIMIT_INDEX_DEPTH = 4;

/**
 * Reads manifest and config of an open source, choosing from indexes by platform. Bytes of children are checked against
 * the digests that name them, and nothing of the chosen image is read before the policy has spoken about its manifest.
 * @throws TransportError `not-found`, `unsupported`, `digest-mismatch`; ImageError
 */
export async function lookAtImage(
  policy: AdmissionPolicy,
  source: ImageSource,
  context: TransportContext,
): Promise<LookedAtImage> {
  const manifest = await chooseManifest(policy, source, context);
  const config = parseImageConfig(
    await readSmallBlob(source, manifest.config, LIMIT_CONFIG_BYTES, context.signal),
  );
  return { source, manifest, config, layers: (await source.layersForCopy?.()) ?? manifest.layers };
}

async function chooseManifest(
  policy: AdmissionPolicy,
  source: ImageSource,
  context: TransportContext,
): Promise<ImageManifest> {
  let document = await source.getManifest();
  let instance: Digest | undefined;
  for (let depth = 0; depth < LIMIT_INDEX_DEPTH; depth += 1) {
    const manifest = parseManifest(document.bytes, document.mediaType);
    if (manifest.kind === 'image') {
      const signatures = () => source.getSignatures(instance);
      await policy.admit({ reference: source.reference, manifest: document, signatures });
      return manifest;
    }
    if (manifest.kind === 'schema1')
      throw new TransportError(
        'unsupported',
        'files of schema 1 images cannot be looked at; copy the image with --format oci first',
      );
    const child = choosePlatform(manifest.manifests, context.platform);
    if (!child)
      throw new TransportError('not-found', `the index has no image for ${formatPlatform(context.platform)}`);
    instance = child.digest;
    document = await source.getManifest(instance);
    if (!matchesManifestDigest(document.bytes, child.digest))
      throw new TransportError('digest-mismatch', `the manifest named ${child.digest} has other bytes`);
  }
  throw new TransportError('unsupported', `indexes nest deeper than ${LIMIT_INDEX_DEPTH}`);
}

/** A small blob as one buffer, verified. @throws TransportError `size-mismatch`, `digest-mismatch` */
export async function readSmallBlob(
  source: ImageSource,
  descriptor: Descriptor,
  limitBytes: number,
  signal?: AbortSignal,
): Promise<Buffer> {
  if (descriptor.size > limitBytes)
    throw new TransportError(
      'size-mismatch',
      `blob ${descriptor.digest} of ${descriptor.size} bytes exceeds the limit of ${limitBytes}`,
    );
  const { stream } = await source.getBlob(descriptor, { signal });
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limitBytes) break;
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  if (size > limitBytes || digestOf(bytes) !== descriptor.digest)
    throw new TransportError('digest-mismatch', `blob ${descriptor.digest} has other bytes`);
  return bytes;
}
