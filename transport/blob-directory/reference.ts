import type { ImageReference } from '../contract.ts';
import { CachedDestination } from './destination.ts';
import { BlobDirectory } from './directory.ts';
import { CachedSource } from './source.ts';

/**
 * The same place, read and written by way of a directory of blobs (`--blob-cache`): what is written is kept there too,
 * and what is there is not read or made anew.
 * @param directory absolute; without it nothing is kept, which a warning says
 * @param compression layers that were kept in this form are read in it
 */
export function byWayOfBlobDirectory(
  reference: ImageReference,
  directory: string,
  compression?: 'gzip' | 'zstd',
): ImageReference {
  const { transport, within, named, policyIdentity, policyNamespaces } = reference;
  return {
    transport,
    within,
    ...(named ? { named } : {}),
    policyIdentity,
    policyNamespaces,
    async openSource(context) {
      const inner = await reference.openSource(context);
      const blobs = BlobDirectory.at(directory, context.onWarning);
      return blobs ? new CachedSource(inner, blobs, compression) : inner;
    },
    async openDestination(context) {
      const inner = await reference.openDestination(context);
      const blobs = BlobDirectory.at(directory, context.onWarning);
      return blobs ? new CachedDestination(inner, blobs) : inner;
    },
  };
}
