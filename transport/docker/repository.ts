import type { Readable } from 'node:stream';
import type { Credentials } from '../../config/credential-helper.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import { algorithmOf, type Digest, digestOf, parseDigest } from '../../image/digest.ts';
import { MANIFEST_LIMIT_BYTES } from '../../image/json.ts';
import {
  guessManifestMediaType,
  type ManifestDocument,
  matchesManifestDigest,
} from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { type NamedReference, repositoryOf } from '../../image/reference.ts';
import type { TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { sessionOf } from './access.ts';
import type { RegistryClient, RegistryRequest } from './client.ts';
import type { HttpResponse } from './http.ts';
import { discardBody, readBody } from './read-body.ts';
import { registryError } from './registry-error.ts';
import type { Scope } from './token.ts';

/** Every type of manifest that is understood, preferred ones first. */
const ACCEPT = [
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.dockerSchema1Signed,
  MEDIA_TYPE.dockerSchema1,
  MEDIA_TYPE.dockerList,
  MEDIA_TYPE.ociIndex,
].join(', ');

export interface RepositoryRequest {
  readonly method: string;
  /** Behind `/v2/<name>/`, or an absolute URL. */
  readonly target: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | Readable;
  readonly bodyBytes?: number;
  readonly extraScopes?: readonly Scope[];
  readonly signal?: AbortSignal;
}

/** One repository of a registry with the credentials for it; `actions` are what tokens are asked for. */
export class Repository {
  readonly name: NamedReference;
  readonly client: RegistryClient;
  readonly #credentials: Credentials | undefined;
  readonly #actions: string;
  readonly #signal: AbortSignal | undefined;

  constructor(
    name: NamedReference,
    client: RegistryClient,
    options: {
      readonly credentials: Credentials | undefined;
      readonly actions: string;
      readonly signal?: AbortSignal;
    },
  ) {
    this.name = name;
    this.client = client;
    this.#credentials = options.credentials;
    this.#actions = options.actions;
    this.#signal = options.signal;
  }

  /** `docker.io/library/alpine`. */
  get title(): string {
    return repositoryOf(this.name);
  }

  /** What proves the right to this repository, for end points outside `/v2/<name>/`. */
  get authorization(): Pick<RegistryRequest, 'scopes' | 'credentials' | 'signal'> {
    return {
      scopes: [{ type: 'repository', name: this.name.path, actions: this.#actions }],
      credentials: this.#credentials,
      ...(this.#signal ? { signal: this.#signal } : {}),
    };
  }

  send(request: RepositoryRequest): Promise<HttpResponse> {
    const signal = request.signal ?? this.#signal;
    const { target, extraScopes = [], method, headers, body, bodyBytes } = request;
    return this.client.request({
      method,
      target: typeof target === 'string' ? `/v2/${this.name.path}/${target}` : target,
      ...this.authorization,
      scopes: [...this.authorization.scopes, ...extraScopes],
      ...(headers ? { headers } : {}),
      ...(body === undefined ? {} : { body }),
      ...(bodyBytes === undefined ? {} : { bodyBytes }),
      ...(signal ? { signal } : {}),
    });
  }

  /**
   * @param selector tag or digest; what a digest names is checked here
   * @throws TransportError `not-found`, `digest-mismatch`, `registry`
   */
  async manifest(selector: string, digest?: Digest): Promise<ManifestDocument> {
    const response = await this.send({
      method: 'GET',
      target: `manifests/${selector}`,
      headers: { accept: ACCEPT },
    });
    if (response.status !== 200)
      throw await registryError(response, `reading manifest ${selector} in ${this.title}`);
    const bytes = await readBody(response, MANIFEST_LIMIT_BYTES, `manifest ${selector}`);
    if (digest !== undefined && !matchesManifestDigest(bytes, digest))
      throw new TransportError(
        'digest-mismatch',
        `reading manifest ${selector} in ${this.title}: the registry sent another manifest, of digest ${digestOf(bytes)}`,
        { hint: 'the registry or something before it is broken or lies', facts: { expected: digest } },
      );
    const contentType = response.header('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
    const mediaType = guessManifestMediaType(bytes) ?? contentType;
    if (contentType === 'text/html')
      throw new TransportError(
        'registry',
        `reading manifest ${selector} in ${this.title}: the server sent a web page (${contentType}), not a manifest`,
        { hint: 'the address may belong to a proxy or a login page instead of a registry' },
      );
    return { bytes, mediaType };
  }

  /** The digest that the registry says a manifest has; a hint, to be checked where it matters. Undefined: no such manifest. */
  async manifestDigest(selector: string): Promise<Digest | undefined> {
    const response = await this.send({
      method: 'HEAD',
      target: `manifests/${selector}`,
      headers: { accept: ACCEPT },
    });
    await discardBody(response);
    if (response.status === 404) return undefined;
    if (response.status !== 200)
      throw await registryError(response, `reading digest ${selector} in ${this.title}`);
    const { tryParseDigest } = await import('../../image/digest.ts');
    const digest = tryParseDigest(response.header('docker-content-digest') ?? '');
    // A registry that does not say must be asked for the manifest itself.
    if (digest) return digest;
    const { manifestDigest } = await import('../../image/manifest.ts');
    return manifestDigest((await this.manifest(selector)).bytes);
  }

  /** Size in bytes of a blob, -1 where the registry does not say; undefined where it is not there. */
  async blobSize(
    digest: Digest,
    options: { readonly signal?: AbortSignal; readonly extraScopes?: readonly Scope[] } = {},
  ): Promise<number | undefined> {
    algorithmOf(parseDigest(digest));
    const response = await this.send({ method: 'HEAD', target: `blobs/${digest}`, ...options });
    await discardBody(response);
    if (response.status === 404) return undefined;
    if (response.status !== 200)
      throw await registryError(response, `checking whether a blob ${digest} exists in ${this.title}`);
    const length = response.header('content-length') ?? '';
    return /^\d+$/.test(length) ? Number(length) : -1;
  }

  /** A small blob as a whole, checked. */
  async readBlob(descriptor: Pick<Descriptor, 'digest'>, limitBytes: number): Promise<Buffer> {
    const { digest } = descriptor;
    const algorithm = algorithmOf(parseDigest(digest));
    const response = await this.send({ method: 'GET', target: `blobs/${digest}` });
    if (response.status !== 200)
      throw await registryError(response, `reading blob ${digest} in ${this.title}`);
    const bytes = await readBody(response, limitBytes, `blob ${digest}`);
    const actual = digestOf(bytes, algorithm);
    if (actual !== digest)
      throw new TransportError('digest-mismatch', `blob ${digest} in ${this.title} has the digest ${actual}`);
    return bytes;
  }

  /** Stores manifest bytes under a tag or digest. */
  async putManifest(bytes: Uint8Array, mediaType: string, selector: string): Promise<HttpResponse> {
    const response = await this.send({
      method: 'PUT',
      target: `manifests/${selector}`,
      headers: mediaType ? { 'content-type': mediaType } : {},
      body: bytes,
    });
    if (response.status < 200 || response.status >= 300)
      throw await registryError(response, `uploading manifest ${selector} to ${this.title}`);
    await discardBody(response);
    return response;
  }
}

/**
 * Opens a repository by the context's configuration.
 * @param actions `pull`, `pull,push`, `*`
 */
export async function openRepository(
  name: NamedReference,
  context: TransportContext,
  actions: string,
  options: { readonly insecure?: boolean; readonly anonymous?: boolean } = {},
): Promise<Repository> {
  const session = sessionOf(context);
  const { signal, onWarning } = context;
  const client = await session.client(name, {
    ...(options.insecure === undefined ? {} : { insecure: options.insecure }),
    ...(onWarning ? { onWarning } : {}),
    ...(signal ? { signal } : {}),
  });
  const credentials = options.anonymous ? undefined : await session.credentials(name, signal);
  return new Repository(name, client, { credentials, actions, ...(signal ? { signal } : {}) });
}
