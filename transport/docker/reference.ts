import type { Digest } from '../../image/digest.ts';
import { ImageError } from '../../image/error.ts';
import {
  familiarReference,
  formatReference,
  type NamedReference,
  parseReference,
  repositoryOf,
  withDefaultTag,
} from '../../image/reference.ts';
import type { DeletableReference, ImageDestination, ImageSource, TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';

/** Behind a name without tag and digest: the image is written by its digest alone. */
export const UNKNOWN_DIGEST_SUFFIX = '@@unknown-digest@@';

/** An image in a registry: `//name[:tag|@digest]`, or `//name@@unknown-digest@@` for writing without a tag. */
export class DockerReference implements DeletableReference {
  readonly transport = 'docker';
  readonly named: NamedReference;
  readonly unknownDigest: boolean;

  private constructor(named: NamedReference, unknownDigest: boolean) {
    this.named = named;
    this.unknownDigest = unknownDigest;
  }

  /** @throws TransportError `bad-reference` for a name with a tag and a digest, or with neither */
  static of(named: NamedReference, options: { readonly unknownDigest?: boolean } = {}): DockerReference {
    const unknownDigest = options.unknownDigest ?? false;
    const selected = named.tag !== undefined || named.digest !== undefined;
    if (named.tag !== undefined && named.digest !== undefined)
      throw bad('Docker references with both a tag and digest are currently not supported', named);
    if (!selected && !unknownDigest)
      throw bad(
        `Docker reference ${familiarReference(named)} is not for an unknown digest case; tag or digest is needed`,
        named,
      );
    if (selected && unknownDigest)
      throw bad(
        `docker: image reference ${JSON.stringify(formatReference(named) + UNKNOWN_DIGEST_SUFFIX)} has unknown digest set but it contains either a tag or digest`,
        named,
      );
    return new DockerReference(named, unknownDigest);
  }

  get within(): string {
    return `//${familiarReference(this.named)}${this.unknownDigest ? UNKNOWN_DIGEST_SUFFIX : ''}`;
  }

  get policyIdentity(): string {
    return formatReference(this.named);
  }

  get policyNamespaces(): readonly string[] {
    const namespaces = policyNamespaces(this.named);
    return this.unknownDigest ? namespaces.slice(1) : namespaces;
  }

  /** Tag or digest. @throws TransportError `bad-reference` for an unknown digest */
  get selector(): string {
    const selector = this.named.digest ?? this.named.tag;
    if (selector === undefined)
      throw bad(
        `Docker reference ${JSON.stringify(familiarReference(this.named))} is for an unknown digest case, has neither a digest nor a tag`,
        this.named,
      );
    return selector;
  }

  async openSource(context: TransportContext): Promise<ImageSource> {
    const { openRegistrySource } = await import('./source.ts');
    return openRegistrySource(this, context);
  }

  async openDestination(context: TransportContext): Promise<ImageDestination> {
    const { openRegistryDestination } = await import('./destination.ts');
    return openRegistryDestination(this, context);
  }

  async deleteImage(context: TransportContext): Promise<void> {
    const { deleteRegistryImage } = await import('./delete.ts');
    await deleteRegistryImage(this, context);
  }
}

/** `//name[:tag|@digest]`; `:latest` where neither is given. @throws TransportError `bad-reference` */
export function parse(within: string): DockerReference {
  if (!within.startsWith('//'))
    throw new TransportError('bad-reference', `docker: image reference ${within} does not start with //`, {
      hint: 'write docker://name',
    });
  const text = within.slice(2);
  const unknownDigest = text.endsWith(UNKNOWN_DIGEST_SUFFIX);
  try {
    const named = parseReference(unknownDigest ? text.slice(0, -UNKNOWN_DIGEST_SUFFIX.length) : text);
    return DockerReference.of(unknownDigest ? named : withDefaultTag(named), { unknownDigest });
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new TransportError('bad-reference', cause.message, { cause });
  }
}

/** The repository, its parents, the host, and `*.` above the host's name (containers-policy.json(5), docker:). */
export function policyNamespaces(named: NamedReference): string[] {
  const parts = repositoryOf(named).split('/');
  const parents = parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
  const labels = named.domain.replace(/:.*$/, '').split('.');
  const wildcards = labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`);
  return [...parents, ...wildcards];
}

/** The same repository's image of a certain digest. */
export function withDigest(reference: DockerReference, digest: Digest): DockerReference {
  const { domain, path } = reference.named;
  return DockerReference.of({ domain, path, digest });
}

function bad(message: string, named: NamedReference): TransportError {
  return new TransportError('bad-reference', message, { facts: { reference: formatReference(named) } });
}
