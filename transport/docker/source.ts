import type { PullSource } from '../../config/registries-match.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import { algorithmOf, type Digest, parseDigest } from '../../image/digest.ts';
import { type ManifestDocument, manifestDigest } from '../../image/manifest.ts';
import { formatReference, type NamedReference } from '../../image/reference.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import type {
  ImageSource,
  ReferrerLister,
  StoredSignature,
  TagLister,
  TransportContext,
} from '../contract.ts';
import { TransportError } from '../error.ts';
import { blobStream, wrongRange } from './blob-reader.ts';
import type { DownloadJournal } from './download-journal.ts';
import type { HttpResponse } from './http.ts';
import { openPlace, placesOf } from './places.ts';
import { DockerReference } from './reference.ts';
import { registryError } from './registry-error.ts';
import { openRepository, type Repository } from './repository.ts';

/**
 * Opens an image in a registry: its mirrors are tried in order, then the registry itself; the first that has the
 * manifest serves everything.
 * @throws TransportError `bad-reference`, `blocked`, `not-found`, `unauthorized`, `network`, ...
 */
export async function openRegistrySource(
  reference: DockerReference,
  context: TransportContext,
): Promise<ImageSource> {
  if (reference.unknownDigest)
    throw new TransportError(
      'bad-reference',
      `reading images from docker: reference ${JSON.stringify(reference.within)} without a tag or digest is not supported`,
    );
  const { named } = reference;
  const failures: { readonly name: NamedReference; readonly error: unknown }[] = [];
  for (const source of await placesOf(named, context)) {
    try {
      const repository = await openPlace(source, named, context);
      return await RegistrySource.open(reference, source, repository, context);
    } catch (error) {
      context.signal?.throwIfAborted();
      failures.push({ name: source.reference, error });
    }
  }
  throw failure(failures);
}

/** Blobs of a repository, also those that no manifest names. Downloads that break are taken up again. */
export async function openRegistryBlobs(
  repository: NamedReference,
  context: TransportContext,
): Promise<Pick<ImageSource, 'getBlob'> & AsyncDisposable> {
  const { domain, path } = repository;
  const opened = await openRepository({ domain, path }, context, 'pull');
  return RegistrySource.ofBlobs(opened, context);
}

function failure(failures: readonly { readonly name: NamedReference; readonly error: unknown }[]): unknown {
  const last = failures.at(-1);
  if (failures.length === 1 || !(last?.error instanceof TransportError)) return last?.error;
  const others = failures
    .slice(0, -1)
    .map(
      ({ name, error }) =>
        `[${formatReference(name)}: ${error instanceof Error ? error.message : String(error)}]`,
    );
  return new TransportError(
    last.error.code,
    `(Mirrors also failed: ${others.join(' ')}): ${formatReference(last.name)}: ${last.error.message}`,
    { cause: last.error, retryable: last.error.retryable, facts: last.error.facts },
  );
}

class RegistrySource implements ImageSource, TagLister, ReferrerLister {
  readonly reference: DockerReference;
  readonly parallelBlobs = 6;
  /** What serves it, which may be a mirror. */
  readonly #place: PullSource;
  readonly #repository: Repository;
  readonly #context: TransportContext;
  readonly #manifest: ManifestDocument;
  #journal: DownloadJournal | undefined;

  private constructor(
    reference: DockerReference,
    place: PullSource,
    repository: Repository,
    context: TransportContext,
    manifest: ManifestDocument,
  ) {
    this.reference = reference;
    this.#place = place;
    this.#repository = repository;
    this.#context = context;
    this.#manifest = manifest;
  }

  static async open(
    reference: DockerReference,
    place: PullSource,
    repository: Repository,
    context: TransportContext,
  ): Promise<RegistrySource> {
    const { digest, tag } = place.reference;
    const manifest = await repository.manifest(digest ?? tag ?? 'latest', digest);
    return new RegistrySource(reference, place, repository, context, manifest);
  }

  static ofBlobs(repository: Repository, context: TransportContext): RegistrySource {
    const { domain, path } = repository.name;
    const reference = DockerReference.of({ domain, path }, { unknownDigest: true });
    const manifest = { bytes: new Uint8Array(), mediaType: '' };
    return new RegistrySource(
      reference,
      { reference: repository.name, insecure: false },
      repository,
      context,
      manifest,
    );
  }

  async again(context: TransportContext): Promise<ImageSource> {
    const repository = await openPlace(this.#place, this.reference.named, context);
    return new RegistrySource(this.reference, this.#place, repository, context, this.#manifest);
  }

  /** The top-level manifest is read once, so that what is checked and what is copied are the same bytes. */
  async getManifest(instance?: Digest): Promise<ManifestDocument> {
    if (instance === undefined) return this.#manifest;
    algorithmOf(parseDigest(instance));
    return this.#repository.manifest(instance, instance);
  }

  async getBlob(
    descriptor: Descriptor,
    options: { readonly offset?: number; readonly keep?: boolean; readonly signal?: AbortSignal } = {},
  ): Promise<BlobStream> {
    algorithmOf(parseDigest(descriptor.digest));
    const { journalDirectory } = this.#context.docker ?? {};
    if (options.offset || options.keep === false || descriptor.size < 0 || !journalDirectory)
      return this.#download(descriptor, options);
    const { DownloadJournal } = await import('./download-journal.ts');
    this.#journal ??= new DownloadJournal(journalDirectory);
    return this.#journal.stream(descriptor, (offset) => this.#download(descriptor, { ...options, offset }));
  }

  async #download(
    descriptor: Descriptor,
    options: { readonly offset?: number; readonly signal?: AbortSignal },
  ): Promise<BlobStream> {
    const { digest } = descriptor;
    const offset = options.offset ?? 0;
    const signal = options.signal ?? this.#context.signal;
    const what = `blob ${digest} in ${this.#repository.title}`;
    const foreign = await this.#foreignBlob(descriptor, offset, signal);
    const fetch = async (from: number): Promise<HttpResponse> =>
      foreign ? foreign.again(from) : this.#fetch(digest, from, signal);
    const first = foreign?.first ?? (await fetch(offset));
    if (first.status !== 200 && first.status !== 206)
      throw await registryError(first, `fetching blob: ${what}`);
    const wrong =
      offset > 0 ? wrongRange(first, offset) : first.status === 200 ? undefined : 'it is a part only';
    if (wrong !== undefined) {
      first.body.destroy();
      throw new TransportError('registry', `reading ${what} from ${offset}: ${wrong}`, { facts: { offset } });
    }
    const length = first.header('content-length') ?? '';
    const resumeDelayMs = this.#context.docker?.retryDelayMs;
    return {
      stream: blobStream(first, fetch, {
        what,
        offset,
        ...(resumeDelayMs === undefined ? {} : { resumeDelayMs: resumeDelayMs * 2 }),
        ...(signal ? { signal } : {}),
      }),
      ...(/^\d+$/.test(length) ? { sizeBytes: Number(length) } : {}),
    };
  }

  #fetch(digest: Digest, offset: number, signal: AbortSignal | undefined): Promise<HttpResponse> {
    return this.#repository.send({
      method: 'GET',
      target: `blobs/${digest}`,
      ...(offset > 0 ? { headers: { range: `bytes=${offset}-` } } : {}),
      ...(signal ? { signal } : {}),
    });
  }

  /** A non-distributable layer's own URLs, without any credentials (CVE-2020-15157); undefined where it has none. */
  async #foreignBlob(descriptor: Descriptor, offset: number, signal: AbortSignal | undefined) {
    const urls = (descriptor.urls ?? []).filter((text) => URL.canParse(text)).map((text) => new URL(text));
    const usable = urls.filter(({ protocol }) => protocol === 'http:' || protocol === 'https:');
    const errors: string[] = [];
    for (const url of usable) {
      const again = (from: number) =>
        this.#repository.client.requestForeign(url, signal, from > 0 ? { range: `bytes=${from}-` } : {});
      try {
        const first = await again(offset);
        if (first.status === 200 || first.status === 206) return { first, again };
        first.body.destroy();
        errors.push(`${url.host}: status ${first.status}`);
      } catch (error) {
        signal?.throwIfAborted();
        errors.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (errors.length === 0) return undefined;
    throw new TransportError(
      'network',
      `failed fetching external blob ${descriptor.digest} from all urls: ${errors.join(', ')}`,
    );
  }

  async getSignatures(instance?: Digest): Promise<readonly StoredSignature[]> {
    const { readSignatures } = await import('./signatures.ts');
    const digest = instance ?? this.#digest();
    return readSignatures(this.#repository, digest, this.#context);
  }

  #digest(): Digest {
    const { digest } = this.#place.reference;
    return digest?.startsWith('sha256:') ? digest : manifestDigest(this.#manifest.bytes);
  }

  async listTags(): Promise<readonly string[]> {
    const { listTagsOf } = await import('./tags.ts');
    return listTagsOf(this.#repository);
  }

  async listReferrers(
    subject: Digest,
    options: { readonly artifactType?: string } = {},
  ): Promise<readonly Descriptor[]> {
    const { listReferrersOf } = await import('./referrers.ts');
    return listReferrersOf(this.#repository, subject, options.artifactType);
  }

  /** Connections belong to the session and stay open for the next image. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#journal?.close({ aborted: this.#context.signal?.aborted ?? false });
  }
}
