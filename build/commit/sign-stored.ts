import { parseReference } from '../../image/reference.ts';
import { formatSignatureBlob } from '../../image/signature.ts';
import {
  formatSignatureSizes,
  SIGNATURES_KEY,
  signatureKey,
} from '../../transport/containers-storage/big-data.ts';
import type { ImageSigner } from '../../transport/contract.ts';
import type { BuildSurroundings, CommitResult } from '../container/contract.ts';
import { BuildError } from '../error.ts';

export function namelessSignature(): BuildError {
  return new BuildError('bad-option', 'signing needs an image name: commit with one');
}

/**
 * Signs an image of local storage under its first name and keeps the signatures beside its manifest, as
 * containers/image does (big data `signatures` and `signature-<digest>`, sizes in the metadata).
 * @param signers prepared
 */
export async function signStored(
  { store }: BuildSurroundings,
  { imageId, manifest, digest, canonicalName }: CommitResult,
  signers: readonly ImageSigner[],
): Promise<void> {
  const record = await store.images.get(imageId);
  const name = record?.names[0];
  if (!record || name === undefined || canonicalName === undefined) throw namelessSignature();
  const blobs: Uint8Array[] = [];
  for (const signer of signers)
    blobs.push(formatSignatureBlob(await signer.sign(manifest, parseReference(name))));
  const joined = Buffer.concat(blobs);
  for (const key of [SIGNATURES_KEY, signatureKey(digest)])
    await store.images.setBigData(imageId, key, joined);
  const sizes = blobs.map((blob) => blob.length);
  await store.images.setMetadata(
    imageId,
    formatSignatureSizes({ own: sizes, byManifest: new Map([[digest, sizes]]) }),
  );
}
