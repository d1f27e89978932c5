import type { Digest } from '../image/digest.ts';
import type { ImageReference } from './contract.ts';

/** An image within its repository or layout. */
export type ImageSelector = { readonly digest: Digest } | { readonly tag: string };

/** Another image of the same repository or layout; undefined where the transport holds one image alone. */
export async function selectImage(
  reference: ImageReference,
  selector: ImageSelector,
): Promise<ImageReference | undefined> {
  if (reference.transport === 'docker' && reference.named) {
    const { DockerReference } = await import('./docker/reference.ts');
    const { domain, path } = reference.named;
    return DockerReference.of({ domain, path, ...selector });
  }
  const name = 'digest' in selector ? { name: '', digest: selector.digest } : { name: selector.tag };
  if (reference.transport === 'oci') {
    const { LayoutReference } = await import('./oci/reference.ts');
    return reference instanceof LayoutReference ? reference.select(name) : undefined;
  }
  if (reference.transport === 'oci-archive') {
    const { LayoutArchiveReference } = await import('./oci-archive/reference.ts');
    return reference instanceof LayoutArchiveReference ? reference.select(name) : undefined;
  }
  return undefined;
}
