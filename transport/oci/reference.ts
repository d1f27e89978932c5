import type {
  DeletableReference,
  ImageDestination,
  ImageReference,
  ImageSource,
  TransportContext,
} from '../contract.ts';
import { parseLayoutReference } from './name.ts';
import { NamedLayout } from './named-layout.ts';

/** `oci:path[:name|:@position|:@digest]`: an image in an OCI image layout directory (image-spec v1.1, image-layout.md). */
export class LayoutReference extends NamedLayout implements DeletableReference {
  readonly transport = 'oci';

  async openSource(context: TransportContext): Promise<ImageSource> {
    const { openLayoutSource } = await import('./source.ts');
    const { LayoutDirectory } = await import('./directory.ts');
    return openLayoutSource(
      this,
      this.selector,
      new LayoutDirectory(this.path, context.ociSharedBlobDirectory),
    );
  }

  async openDestination(context: TransportContext): Promise<ImageDestination> {
    const { openLayoutDestination } = await import('./destination.ts');
    return openLayoutDestination(this, context);
  }

  async deleteImage(context: TransportContext): Promise<void> {
    const { deleteFromLayout } = await import('./delete.ts');
    await deleteFromLayout(this, context);
  }
}

export function parse(within: string, options: { readonly workingDirectory: string }): ImageReference {
  const { path, selector } = parseLayoutReference(within);
  return new LayoutReference(path, selector, options.workingDirectory);
}
