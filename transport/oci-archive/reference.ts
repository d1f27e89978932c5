import { resolve } from 'node:path';
import type { ImageDestination, ImageReference, ImageSource, TransportContext } from '../contract.ts';
import { explicitPath, pathNamespaces } from '../local-path.ts';
import { formatSelector, type LayoutSelector, parseLayoutReference } from '../oci/name.ts';

/** `oci-archive:path[:name|:@position|:@digest]`: an OCI image layout in a tar file. */
export class LayoutArchiveReference implements ImageReference {
  readonly transport = 'oci-archive';
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

  /** The same archive with another selector. */
  select(selector: LayoutSelector): LayoutArchiveReference {
    return new LayoutArchiveReference(this.#path, selector, this.#workingDirectory);
  }

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
