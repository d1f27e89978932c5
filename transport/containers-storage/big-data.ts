import { type Digest, encodedOf, tryParseDigest } from '../../image/digest.ts';
import { isJsonObject, parseJsonObject } from '../../image/json.ts';

/** The key of the manifest that an image is taken for when nobody asks for a digest. */
export const MANIFEST_KEY = 'manifest';
export const SIGNATURES_KEY = 'signatures';

/** Every manifest of an image, its index too, is kept under its digest. */
export function manifestKey(digest: Digest): string {
  return `manifest-${digest}`;
}

/** Signatures of one manifest, one behind the other. */
export function signatureKey(digest: Digest): string {
  return `signature-${encodedOf(digest)}`;
}

/** The metadata string of an image record: where the signatures in its big data end. */
export interface SignatureSizes {
  readonly own: readonly number[];
  readonly byManifest: ReadonlyMap<Digest, readonly number[]>;
}

/** As Go's encoding/json writes storageImageMetadata. */
export function formatSignatureSizes({ own, byManifest }: SignatureSizes): string {
  const all = [...byManifest].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify({
    ...(own.length > 0 ? { 'signature-sizes': own } : {}),
    ...(all.length > 0 ? { 'signatures-sizes': Object.fromEntries(all) } : {}),
  });
}

/** Other tools' metadata, or none, has no signatures. @throws ImageError `bad-json` */
export function parseSignatureSizes(metadata: string): SignatureSizes {
  const byManifest = new Map<Digest, readonly number[]>();
  if (metadata === '') return { own: [], byManifest };
  const json = parseJsonObject(metadata, { what: 'image metadata' });
  const each = json['signatures-sizes'];
  if (isJsonObject(each)) {
    for (const [key, value] of Object.entries(each)) {
      const digest = tryParseDigest(key);
      if (digest !== undefined) byManifest.set(digest, sizes(value));
    }
  }
  return { own: sizes(json['signature-sizes']), byManifest };
}

function sizes(value: unknown): number[] {
  if (!Array.isArray(value)) return [];
  return value.filter((size) => Number.isSafeInteger(size) && size >= 0);
}
