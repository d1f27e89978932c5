import { createReadStream } from 'node:fs';
import type { Descriptor } from '../../image/descriptor.ts';
import { algorithmOf, type Digest, parseDigest } from '../../image/digest.ts';
import {
  guessManifestMediaType,
  manifestDigest,
  matchesManifestDigest,
  parseManifest,
} from '../../image/manifest.ts';
import { compressionOf, MEDIA_TYPE } from '../../image/media-type.ts';
import { type NamedReference, repositoryOf } from '../../image/reference.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import type {
  ImageDestination,
  PutBlobOptions,
  ResumableDestination,
  StoredSignature,
  TransportContext,
} from '../contract.ts';
import { TransportError } from '../error.ts';
import { retryPolicy, sessionOf } from './access.ts';
import { discardBody } from './read-body.ts';
import type { DockerReference } from './reference.ts';
import { openRepository, type Repository } from './repository.ts';
import {
  cancelUpload,
  locationOf,
  startUpload,
  type UploadSession,
  uploadBlob,
  uploadStatus,
} from './upload.ts';
import { UploadJournal } from './upload-journal.ts';

const MANIFEST_TYPES = [
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.dockerList,
  MEDIA_TYPE.dockerSchema1Signed,
  MEDIA_TYPE.dockerSchema1,
];
/** Smaller blobs are sent again sooner than they are looked up. */
const JOURNAL_BYTES = 1024 * 1024;

/** @throws TransportError `blocked`; configuration errors. The registry itself is spoken to later. */
export async function openRegistryDestination(
  reference: DockerReference,
  context: TransportContext,
): Promise<ImageDestination> {
  const repository = await openRepository(reference.named, context, 'pull,push');
  const places = await sessionOf(context).signaturePlaces(reference, 'write');
  return new RegistryDestination(reference, repository, context, places.attachments);
}

class RegistryDestination implements ImageDestination, ResumableDestination {
  readonly reference: DockerReference;
  readonly manifestTypes = MANIFEST_TYPES;
  readonly acceptsIndexes = true;
  readonly layerCompression = 'compress';
  readonly acceptsForeignLayers = true;
  readonly signatureKinds: readonly StoredSignature['kind'][];
  readonly parallelBlobs = 6;
  readonly embedsName = true;
  readonly requiredDigest?: Digest;
  readonly #repository: Repository;
  readonly #context: TransportContext;
  readonly #journal: UploadJournal | undefined;
  /** Sessions that a refused mount opened or an interrupted upload left; nothing was sent into unused ones. */
  readonly #sessions = new Map<Digest, UploadSession & { readonly unused?: boolean }>();
  readonly #mounted = new Set<Digest>();
  #manifestDigest: Digest | undefined;

  constructor(
    reference: DockerReference,
    repository: Repository,
    context: TransportContext,
    attachments: boolean,
  ) {
    this.reference = reference;
    this.signatureKinds = attachments ? ['simple', 'sigstore'] : ['simple'];
    if (reference.named.digest) this.requiredDigest = reference.named.digest;
    this.#repository = repository;
    this.#context = context;
    const directory = context.docker?.journalDirectory;
    this.#journal = directory ? new UploadJournal(directory) : undefined;
  }

  async tryReuseBlob(
    descriptor: Descriptor,
    options: Parameters<ImageDestination['tryReuseBlob']>[1],
  ): ReturnType<ImageDestination['tryReuseBlob']> {
    const { digest } = descriptor;
    algorithmOf(parseDigest(digest));
    const compression = compressionOf(descriptor.mediaType);
    if (options.compression !== undefined && compression !== undefined && compression !== options.compression)
      return undefined;
    const { signal } = options;
    if (this.#mounted.has(digest)) return { descriptor, how: 'mounted' };
    const [likely, ...others] = options.candidates ?? [];
    // The answer of a mount tells as well whether the blob is there afterwards.
    if (likely && (await this.#mount(digest, likely, signal))) return { descriptor, how: 'mounted' };
    const size = await this.#repository.blobSize(digest, signal ? { signal } : {});
    if (size !== undefined) return { descriptor: sized(descriptor, size), how: 'present' };
    for (const candidate of others)
      if (await this.#mount(digest, candidate, signal)) return { descriptor, how: 'mounted' };
    return undefined;
  }

  /** Whatever goes wrong here, the bytes can still be sent. */
  async #mount(digest: Digest, from: NamedReference, signal: AbortSignal | undefined): Promise<boolean> {
    const { name } = this.#repository;
    if (from.domain !== name.domain || from.path === name.path || this.#sessions.has(digest)) return false;
    const query = new URLSearchParams({ mount: digest, from: from.path });
    try {
      const response = await this.#repository.send({
        method: 'POST',
        target: `blobs/uploads/?${query}`,
        extraScopes: [{ type: 'repository', name: from.path, actions: 'pull' }],
        ...(signal ? { signal } : {}),
      });
      await discardBody(response);
      if (response.status === 202)
        this.#sessions.set(digest, {
          location: locationOf(response, this.#repository),
          offset: 0,
          unused: true,
        });
      if (response.status !== 201) return false;
      this.#mounted.add(digest);
      return true;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof TransportError) return false;
      throw error;
    }
  }

  async uploadedBytes(digest: Digest): Promise<number> {
    return (await this.#openSession(digest, true))?.offset ?? 0;
  }

  async putBlob(
    blob: BlobStream,
    descriptor: Omit<Descriptor, 'digest' | 'size'> & { readonly digest?: Digest; readonly size?: number },
    options: PutBlobOptions,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const { digest } = descriptor;
    if (digest === undefined && this.#context.docker?.precomputeDigests)
      return this.#putPrecomputed(blob, descriptor, options);
    const size = descriptor.size !== undefined && descriptor.size >= 0 ? descriptor.size : blob.sizeBytes;
    const signal = options.signal ?? this.#context.signal;
    const journalled = digest !== undefined && (size ?? 0) >= JOURNAL_BYTES;
    const session =
      (digest && (await this.#openSession(digest, journalled))) ??
      this.#takeUnused(digest) ??
      (await startUpload(this.#repository, signal));
    if (journalled) await this.#journal?.record(this.#title, digest, session.location);
    try {
      const sent = await uploadBlob(this.#repository, session, blob.stream, {
        offset: options.offset ?? 0,
        retry: retryPolicy(this.#context.docker),
        ...(digest ? { digest } : {}),
        ...(size === undefined ? {} : { size }),
        ...(signal ? { signal } : {}),
      });
      if (digest) this.#sessions.delete(digest);
      if (journalled) await this.#journal?.forget(this.#title, digest);
      return sent;
    } catch (error) {
      // Only what went wrong on the way: after wrong bytes the session is of no use.
      if (digest && error instanceof TransportError && error.retryable)
        this.#sessions.set(digest, { location: session.location, offset: session.offset });
      else if (digest) this.#sessions.delete(digest);
      throw error;
    } finally {
      blob.stream.destroy();
    }
  }

  /** `--dest-precompute-digests`: what is there already need not be sent, also when its digest is known only at its end. */
  async #putPrecomputed(
    blob: BlobStream,
    descriptor: Omit<Descriptor, 'digest' | 'size'>,
    options: PutBlobOptions,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const { stageBlob } = await import('../blob-file.ts');
    const staged = await stageBlob(
      this.#context.temporaryDirectory,
      'slipway-blob',
      blob,
      {},
      {
        sync: false,
        ...(options.signal ? { signal: options.signal } : {}),
      },
    );
    try {
      const { digest, size } = staged;
      if ((await this.#repository.blobSize(digest)) !== undefined) return { digest, size };
      const stream = createReadStream(staged.path, { highWaterMark: 1 << 20 });
      return await this.putBlob({ stream, sizeBytes: size }, { ...descriptor, digest, size }, options);
    } finally {
      await staged.discard();
    }
  }

  /** The session to go on with: of this run, or of an earlier one by the journal. */
  async #openSession(digest: Digest, journalled: boolean): Promise<UploadSession | undefined> {
    const journal = journalled ? this.#journal : undefined;
    const own = this.#sessions.get(digest);
    const known = (own?.unused ? undefined : own?.location) ?? (await journal?.find(this.#title, digest));
    if (!known) return undefined;
    const session = await uploadStatus(this.#repository, known, this.#context.signal).catch(
      (error: unknown) => {
        if (error instanceof TransportError) return undefined;
        throw error;
      },
    );
    if (session) this.#sessions.set(digest, session);
    else {
      this.#sessions.delete(digest);
      await journal?.forget(this.#title, digest);
    }
    return session;
  }

  /** What a refused mount of this blob left, or of another one, whose digest is nothing to the session. */
  #takeUnused(digest: Digest | undefined): UploadSession | undefined {
    const own = digest !== undefined && this.#sessions.get(digest)?.unused ? digest : undefined;
    const key = own ?? [...this.#sessions].find(([, { unused }]) => unused)?.[0];
    if (key === undefined) return undefined;
    const session = this.#sessions.get(key);
    this.#sessions.delete(key);
    return session;
  }

  async putManifest(bytes: Uint8Array, mediaType: string, instance?: Digest): Promise<void> {
    const digest = manifestDigest(bytes);
    const type = mediaType || (guessManifestMediaType(bytes) ?? '');
    const required = instance ?? this.requiredDigest;
    if (required && !matchesManifestDigest(bytes, required))
      throw new TransportError(
        'digest-mismatch',
        `Attempted to PutManifest using an explicitly specified digest (${JSON.stringify(required)}) that didn't match the manifest's digest (${JSON.stringify(digest)})`,
        { facts: { expected: required, digest } },
      );
    if (!instance) this.#manifestDigest = digest;
    const selector = required ?? (this.reference.unknownDigest ? digest : this.reference.selector);
    const response = await this.#repository.putManifest(bytes, type, selector);
    const manifest = parseManifest(bytes, type);
    if (manifest.kind === 'schema1' || !manifest.subject || response.header('oci-subject')) return;
    const { addToFallbackTag } = await import('./referrers.ts');
    await addToFallbackTag(this.#repository, bytes, manifest);
  }

  async putSignatures(signatures: readonly StoredSignature[], instance?: Digest): Promise<void> {
    const digest = instance ?? this.#manifestDigest;
    if (!digest) throw new Error('signatures come after their manifest');
    if (signatures.length === 0) return;
    const { writeSignatures } = await import('./signatures.ts');
    await writeSignatures(this, this.#repository, digest, signatures, this.#context);
  }

  /** Every manifest is published as it is put; registries know no transactions. */
  async commit(): Promise<void> {}

  /** Gives sessions back that a refused mount opened; those that the journal knows stay. */
  async [Symbol.asyncDispose](): Promise<void> {
    const unused = [...this.#sessions.values()].filter(({ offset }) => offset === 0);
    this.#sessions.clear();
    if (this.#context.signal?.aborted) return;
    await Promise.all(unused.map(({ location }) => cancelUpload(this.#repository, location)));
  }

  get #title(): string {
    return repositoryOf(this.reference.named);
  }
}

function sized(descriptor: Descriptor, size: number): Descriptor {
  if (size < 0 || descriptor.size === size) return descriptor;
  if (descriptor.size < 0) return { ...descriptor, size };
  throw new TransportError(
    'size-mismatch',
    `blob ${descriptor.digest} has ${size} bytes in the registry, ${descriptor.size} in the manifest`,
    { facts: { digest: descriptor.digest, expected: descriptor.size, got: size } },
  );
}
