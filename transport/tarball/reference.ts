import { resolve } from 'node:path';
import type { RuntimeConfig } from '../../image/config.ts';
import type { ImageDestination, ImageReference, ImageSource, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';

/** What an image of tar files says beside its layers. */
export interface TarballUpdate {
  readonly config?: RuntimeConfig;
  /** Of every layer's history entry; default `imported from tarball`. */
  readonly comment?: string;
}

/** `tarball:file[:file…]`: an image made of tar files, one layer each; `-` is standard input. */
export class TarballReference implements ImageReference {
  readonly transport = 'tarball';
  readonly policyIdentity = '';
  readonly policyNamespaces: readonly string[] = [];
  readonly #files: readonly string[];
  readonly #workingDirectory: string;
  readonly update: TarballUpdate;

  constructor(files: readonly string[], workingDirectory: string, update: TarballUpdate = {}) {
    this.#files = files;
    this.#workingDirectory = workingDirectory;
    this.update = update;
  }

  get within(): string {
    return this.#files.join(':');
  }

  /** Absolute paths; `-` stays. */
  get paths(): readonly string[] {
    return this.#files.map((file) => (file === '-' ? file : resolve(this.#workingDirectory, file)));
  }

  async openSource(context: TransportContext): Promise<ImageSource> {
    const { openTarballSource } = await import('./source.ts');
    return openTarballSource(this, context);
  }

  async openDestination(): Promise<ImageDestination> {
    throw new TransportError('unsupported', '"tarball:" locations can only be read from, not written to');
  }
}

/** @throws TransportError `bad-reference` for an empty file name */
export function parse(within: string, options: { readonly workingDirectory: string }): ImageReference {
  const files = within.split(':');
  if (files.includes(''))
    throw new TransportError(
      'bad-reference',
      `error opening "": no such file or directory (tarball:${within})`,
    );
  return new TarballReference(files, options.workingDirectory);
}
