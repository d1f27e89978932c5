import { type Digest, digestOf, encodedOf } from '../../image/digest.ts';

/** How a layer's contents are known: by the digest of the plain tar, or only by that of its table of contents. */
export type LayerIdentity = { readonly diffId: Digest } | { readonly tocDigest: Digest };

/**
 * The id that containers/image gives a layer above `parentId`, so that equal chains of every tool share their layers:
 * the diffID's hex for a base layer, else the sha256 of `parent+diffID` (storage_dest.go, layerID).
 */
export function layerIdOf(parentId: string | undefined, identity: LayerIdentity): string {
  if ('tocDigest' in identity)
    return encodedOf(digestOf(`${parentId ?? ''}+@TOC=${encodedOf(identity.tocDigest)}`));
  const component = encodedOf(identity.diffId);
  return parentId === undefined || parentId === ''
    ? component
    : encodedOf(digestOf(`${parentId}+${component}`));
}
