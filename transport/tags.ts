import type { ImageReference, TransportContext } from './contract.ts';
import { TransportError } from './error.ts';

/**
 * The tags of the repository that a reference is in, or the names in an archive or layout; an image of an archive
 * without a name is `@` and its position.
 * @throws TransportError `unsupported` for a transport without tags
 */
export async function listTags(
  reference: ImageReference,
  context: TransportContext,
): Promise<readonly string[]> {
  if (reference.transport === 'docker-archive') {
    const { listArchiveTags } = await import('./docker-archive/tags.ts');
    return listArchiveTags(reference, context);
  }
  if (reference.transport === 'docker' && reference.named) {
    const { listRepositoryTags } = await import('./docker/tags.ts');
    return listRepositoryTags(reference.named, context);
  }
  const { LayoutReference } = await import('./oci/reference.ts');
  const { LayoutArchiveReference } = await import('./oci-archive/reference.ts');
  if (reference instanceof LayoutReference || reference instanceof LayoutArchiveReference) {
    const { listLayoutTags } = await import('./oci/tags.ts');
    return listLayoutTags(reference, context);
  }
  throw new TransportError(
    'unsupported',
    `Unsupported transport '${reference.transport}' for tag listing. Only supported: docker, docker-archive, oci, oci-archive`,
  );
}
