import type { ImageDestination, ImageReference, ImageSource, TransportContext } from '../contract.ts';
import { parseLayoutReference } from '../oci/name.ts';
import { NamedLayout } from '../oci/named-layout.ts';

/** `oci-archive:path[:name|:@position|:@digest]`: an OCI image layout in a tar file. */
export class LayoutArchiveReference extends NamedLayout implements ImageReference {
  readonly transport = 'oci-archive';

  async openSource(context: TransportContext): Promise<ImageSource> {
    const { openLayoutArchiveSource } = await import('./source.ts');
    return openLayoutArchiveSource(this, context);
  }

  async openDestination(context: TransportContext): Promise<ImageDestination> {
    const { openLayoutArchiveDestination } = await import('./destination.ts');
    return openLayoutArchiveDestination(this, context);
  }
}

export function parse(within: string, options: { readonly workingDirectory: string }): ImageReference {
  const { path, selector } = parseLayoutReference(within);
  return new LayoutArchiveReference(path, selector, options.workingDirectory);
}
