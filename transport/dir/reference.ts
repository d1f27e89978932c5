import { resolve } from 'node:path';
import type { ImageDestination, ImageReference, ImageSource, TransportContext } from '../contract.ts';
import { explicitPath, pathNamespaces } from '../local-path.ts';

/** `dir:path`: one image as plain files in a directory (containers/image, directory/). */
export class DirectoryReference implements ImageReference {
  readonly transport = 'dir';
  readonly within: string;
  readonly #workingDirectory: string;

  constructor(path: string, workingDirectory: string) {
    this.within = path;
    this.#workingDirectory = workingDirectory;
  }

  /** The absolute path, symbolic links untouched. */
  get path(): string {
    return resolve(this.#workingDirectory, this.within);
  }

  get policyIdentity(): string {
    return explicitPath(this.within, this.#workingDirectory);
  }

  get policyNamespaces(): readonly string[] {
    return pathNamespaces(this.policyIdentity, false);
  }

  async openSource(_context: TransportContext): Promise<ImageSource> {
    const { openDirectorySource } = await import('./source.ts');
    return openDirectorySource(this);
  }

  async openDestination(context: TransportContext): Promise<ImageDestination> {
    const { openDirectoryDestination } = await import('./destination.ts');
    return openDirectoryDestination(this, context);
  }
}

export function parse(within: string, options: { readonly workingDirectory: string }): ImageReference {
  return new DirectoryReference(within, options.workingDirectory);
}
