import { resolve } from 'node:path';
import type {
  DeletableReference,
  ImageDestination,
  ImageReference,
  ImageSource,
  TransportContext,
} from '../contract.ts';
import { explicitPath, pathNamespaces } from '../local-path.ts';
import { formatSelector, type LayoutSelector, parseLayoutReference } from './name.ts';

/** `oci:path[:name|:@position|:@digest]`: an image in an OCI image layout directory (image-spec v1.1, image-layout.md). */
export class LayoutReference implements DeletableReference {
  readonly transport = 'oci';
  readonly selector: LayoutSelector;
  readonly #path: string;
  readonly #workingDirectory: string;

  constructor(path: string, selector: LayoutSelector, workingDirectory: string) {
    this.#path = path;
    this.selector = selector;
    this.#workingDirectory = workingDirectory;
  }

  get within(): string {
    return `${this.#path}:${formatSelector(this.selector)}`;
  }

  get path(): string {
    return resolve(this.#workingDirectory, this.#path);
  }

  get policyIdentity(): string {
    return explicitPath(this.#path, this.#workingDirectory);
  }

  get policyNamespaces(): readonly string[] {
    return pathNamespaces(this.policyIdentity, true);
  }

  /** The same layout with another selector. */
  select(selector: LayoutSelector): LayoutReference {
    return new LayoutReference(this.#path, selector, this.#workingDirectory);
  }

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
