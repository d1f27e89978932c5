import { resolve } from 'node:path';
import { explicitPath, pathNamespaces } from '../local-path.ts';
import { formatSelector, type LayoutSelector } from './name.ts';

/** What references to an image in a layout have in common, whether that is a directory or a file. */
export abstract class NamedLayout {
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
  select(selector: LayoutSelector): this {
    const Kind = this.constructor as new (...words: ConstructorParameters<typeof NamedLayout>) => this;
    return new Kind(this.#path, selector, this.#workingDirectory);
  }
}
