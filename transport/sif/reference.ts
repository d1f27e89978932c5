import { resolve } from 'node:path';
import type { ImageDestination, ImageReference, ImageSource, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { explicitPath, pathNamespaces } from '../local-path.ts';

/** `sif:file`: a Singularity or Apptainer image, for reading. */
export class SifReference implements ImageReference {
  readonly transport = 'sif';
  readonly within: string;
  readonly #workingDirectory: string;

  constructor(file: string, workingDirectory: string) {
    this.within = file;
    this.#workingDirectory = workingDirectory;
  }

  get path(): string {
    return resolve(this.#workingDirectory, this.within);
  }

  get policyIdentity(): string {
    return explicitPath(this.within, this.#workingDirectory);
  }

  get policyNamespaces(): readonly string[] {
    return pathNamespaces(this.policyIdentity, false);
  }

  async openSource(context: TransportContext): Promise<ImageSource> {
    const { openSifSource } = await import('./source.ts');
    return openSifSource(this, context);
  }

  async openDestination(): Promise<ImageDestination> {
    throw new TransportError('unsupported', '"sif:" locations can only be read from, not written to');
  }
}

export function parse(within: string, options: { readonly workingDirectory: string }): ImageReference {
  if (within === '') throw new TransportError('bad-reference', 'sif: reference needs a file name');
  return new SifReference(within, options.workingDirectory);
}
