import { type Digest, tryParseDigest } from '../../image/digest.ts';
import {
  familiarReference,
  formatReference,
  type NamedReference,
  parseReference,
} from '../../image/reference.ts';
import type { ImageDestination, ImageReference, ImageSource, TransportContext } from '../contract.ts';
import { policyNamespaces } from '../docker/reference.ts';
import { TransportError } from '../error.ts';

/** `docker-daemon:name:tag`, `docker-daemon:name@digest` or `docker-daemon:sha256:…` (an image id). */
export class DaemonReference implements ImageReference {
  readonly transport = 'docker-daemon';
  readonly named?: NamedReference;
  /** The image's config digest; sources only. */
  readonly id?: Digest;

  constructor(image: { readonly named: NamedReference } | { readonly id: Digest }) {
    if ('named' in image) this.named = image.named;
    else this.id = image.id;
  }

  get within(): string {
    return this.named ? familiarReference(this.named) : (this.id as string);
  }

  /** Ids belong to no namespace: policies can only speak of the transport as a whole. */
  get policyIdentity(): string {
    return this.named ? formatReference(this.named) : '';
  }

  get policyNamespaces(): readonly string[] {
    return this.named ? policyNamespaces(this.named) : [];
  }

  async openSource(context: TransportContext): Promise<ImageSource> {
    const { openDaemonSource } = await import('./source.ts');
    return openDaemonSource(this, context);
  }

  async openDestination(context: TransportContext): Promise<ImageDestination> {
    const { openDaemonDestination } = await import('./destination.ts');
    return openDaemonDestination(this, context);
  }
}

/** @throws TransportError `bad-reference`, ImageError `bad-reference` */
export function parse(within: string): ImageReference {
  // Only known algorithms: `busybox:1` is a name.
  const id = /^sha(?:256|384|512):/.test(within) ? tryParseDigest(within) : undefined;
  if (id !== undefined) {
    if (id.startsWith('sha256:')) return new DaemonReference({ id });
    throw bad(`Invalid docker-daemon: reference ${within}: only digest algorithm sha256 accepted`);
  }
  const named = parseReference(within);
  if (familiarReference({ domain: named.domain, path: named.path }) === 'sha256')
    throw bad(
      `Invalid docker-daemon: reference ${within}: The sha256 repository name is reserved for (non-shortened) digest references`,
    );
  if (named.tag === undefined && named.digest === undefined)
    throw bad(`docker-daemon: reference ${familiarReference(named)} has neither a tag nor a digest`);
  if (named.tag !== undefined && named.digest !== undefined)
    throw bad('docker-daemon: references with both a tag and digest are currently not supported');
  return new DaemonReference({ named });
}

function bad(message: string): TransportError {
  return new TransportError('bad-reference', message);
}
