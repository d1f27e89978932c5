import type { Digest } from '../image/digest.ts';
import { type ManifestDocument, manifestDigest, matchesManifestDigest } from '../image/manifest.ts';
import type { ImageSource } from './contract.ts';
import { TransportError } from './error.ts';
import { formatImageReference } from './references.ts';

/**
 * A manifest of the source whose bytes are what its digest, or the reference's, says.
 * @throws TransportError `digest-mismatch`
 */
export async function readManifest(source: ImageSource, instance?: Digest): Promise<ManifestDocument> {
  const document = await source.getManifest(instance);
  const expected = instance ?? source.reference.named?.digest;
  if (expected !== undefined && !matchesManifestDigest(document.bytes, expected))
    throw new TransportError(
      'digest-mismatch',
      `manifest of ${formatImageReference(source.reference)} does not match the digest ${expected}`,
      { facts: { expected, digest: manifestDigest(document.bytes) } },
    );
  return document;
}
