import { resolve } from 'node:path';
import {
  formatReference,
  type NamedReference,
  parseReference,
  withDefaultTag,
} from '../../image/reference.ts';
import type { ImageDestination, ImageReference, ImageSource, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';

/** `docker-archive:path[:name[:tag]|:@position]`: what `docker save` writes. */
export class DockerArchiveReference implements ImageReference {
  readonly transport = 'docker-archive';
  readonly named?: NamedReference;
  /** Zero-based position in manifest.json; sources only. */
  readonly position?: number;
  /** Archives carry no identity that a policy could rely on. */
  readonly policyIdentity = '';
  readonly policyNamespaces: readonly string[] = [];
  readonly #path: string;
  readonly #workingDirectory: string;

  constructor(
    path: string,
    selector: { readonly named?: NamedReference; readonly position?: number },
    workingDirectory: string,
  ) {
    this.#path = path;
    this.#workingDirectory = workingDirectory;
    if (selector.named) this.named = selector.named;
    if (selector.position !== undefined) this.position = selector.position;
  }

  get within(): string {
    if (this.named) return `${this.#path}:${formatReference(this.named)}`;
    return this.position === undefined ? this.#path : `${this.#path}:@${this.position}`;
  }

  get path(): string {
    return resolve(this.#workingDirectory, this.#path);
  }

  async openSource(context: TransportContext): Promise<ImageSource> {
    const { openDockerArchiveSource } = await import('./source.ts');
    return openDockerArchiveSource(this, context);
  }

  async openDestination(context: TransportContext): Promise<ImageDestination> {
    const { openDockerArchiveDestination } = await import('./destination.ts');
    return openDockerArchiveDestination(this, context);
  }
}

/** @throws TransportError `bad-reference`, ImageError `bad-reference` */
export function parse(within: string, options: { readonly workingDirectory: string }): ImageReference {
  const windows = /^([a-zA-Z]:\\[^:]+)(?::(.*))?$/s.exec(within);
  const colon = within.indexOf(':');
  const path = windows ? (windows[1] as string) : colon < 0 ? within : within.slice(0, colon);
  const selector = windows ? windows[2] : colon < 0 ? undefined : within.slice(colon + 1);
  if (path === '')
    throw new TransportError(
      'bad-reference',
      `docker-archive reference ${within} isn't of the form <path>[:<reference>]`,
    );
  return new DockerArchiveReference(
    path,
    selector === undefined ? {} : parseSelector(selector),
    options.workingDirectory,
  );
}

function parseSelector(text: string): { readonly named?: NamedReference; readonly position?: number } {
  if (!text.startsWith('@')) {
    const named = withDefaultTag(parseReference(text));
    if (named.tag === undefined)
      throw new TransportError(
        'bad-reference',
        `reference does not include a tag: ${formatReference(named)}`,
      );
    if (named.digest !== undefined)
      throw new TransportError(
        'bad-reference',
        `docker-archive doesn't support digest references: ${formatReference(named)}`,
      );
    return { named };
  }
  if (!/^[+-]?\d{1,15}$/.test(text.slice(1)))
    throw new TransportError('bad-reference', `Invalid source index ${text}: not an integer`);
  const position = Number(text.slice(1));
  if (position < 0)
    throw new TransportError('bad-reference', `Invalid source index ${text}: must not be negative`);
  return { position };
}
