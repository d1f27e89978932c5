import { createReadStream } from 'node:fs';
import { mkdir, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { makeDirectories } from '../../config/make-directories.ts';
import { isSystemError } from '../../errors.ts';
import type { Descriptor } from '../../image/descriptor.ts';
import { type Digest, digestOf, encodedOf } from '../../image/digest.ts';
import type { JsonObject } from '../../image/json.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { replaceFile, stageBlob } from '../blob-file.ts';
import type {
  ImageDestination,
  PutBlobOptions,
  ResumableDestination,
  StoredSignature,
  TransportContext,
} from '../contract.ts';
import { TransportError } from '../error.ts';
import { isRunning, withFileLock } from '../file-lock.ts';
import { LayoutDirectory } from './directory.ts';
import { addToIndex, type LayoutIndex, parseLayoutIndex, REF_NAME } from './layout.ts';
import type { LayoutReference } from './reference.ts';

const STAGED = '.oci-put-blob';
/** Process and, where it is known, digest of a blob being written. */
const STAGED_NAME = /^\.oci-put-blob-(\d+)-(new|[0-9a-f]+)-/;

/**
 * Opens a layout for one more image, making it where needed. Blobs get their names only when they are whole, and
 * index.json names the image at {@link ImageDestination.commit}, under a lock, merged with what others wrote meanwhile.
 * @throws TransportError `bad-reference` for a reference by position
 */
export async function openLayoutDestination(
  reference: LayoutReference,
  context: TransportContext,
): Promise<ImageDestination> {
  if (reference.selector.position !== undefined)
    throw new TransportError(
      'bad-reference',
      `Destination reference must not contain a manifest index @${reference.selector.position}`,
    );
  const made = makeDirectories(reference.path, 0o755);
  await mkdir(join(reference.path, 'blobs'), { recursive: true, mode: 0o755 });
  if (context.ociSharedBlobDirectory) makeDirectories(context.ociSharedBlobDirectory);
  const destination = new LayoutDestination(reference, context, made);
  await destination.checkIndex();
  return destination;
}

class LayoutDestination implements ImageDestination, ResumableDestination {
  readonly reference: LayoutReference;
  readonly manifestTypes = [MEDIA_TYPE.ociManifest, MEDIA_TYPE.ociIndex];
  readonly acceptsIndexes = true;
  readonly layerCompression: ImageDestination['layerCompression'];
  readonly acceptsForeignLayers = true;
  readonly signatureKinds = [];
  readonly keepsBytes = true;
  readonly requiredDigest?: Digest;
  readonly #files: LayoutDirectory;
  /** On the disk of the blobs, so that renaming works. */
  readonly #staging: string;
  /** True where opening made the directory; an attempt that stored nothing removes it again. */
  readonly #made: boolean;
  /** What interrupted copies left of blobs. */
  readonly #partial = new Map<Digest, string>();
  #entry: JsonObject | undefined;
  #stored = false;

  constructor(reference: LayoutReference, context: TransportContext, made: boolean) {
    this.reference = reference;
    this.layerCompression = context.ociAcceptUncompressedLayers ? 'preserve' : 'compress';
    this.#files = new LayoutDirectory(reference.path, context.ociSharedBlobDirectory);
    this.#staging = context.ociSharedBlobDirectory ?? reference.path;
    this.#made = made;
    if (reference.selector.digest) this.requiredDigest = reference.selector.digest;
  }

  /** A broken index.json stops the copy before any byte moves. */
  async checkIndex(): Promise<void> {
    await this.#readIndex();
  }

  async tryReuseBlob(descriptor: Descriptor) {
    const found = await stat(this.#files.blobPath(descriptor.digest)).catch((error: unknown) => {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    });
    if (!found?.isFile() || (descriptor.size >= 0 && found.size !== descriptor.size)) return undefined;
    return { descriptor: { ...descriptor, size: found.size }, how: 'present' as const };
  }

  async putBlob(
    blob: BlobStream,
    descriptor: { readonly digest?: Digest; readonly size?: number },
    options: PutBlobOptions,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const { digest } = descriptor;
    const name = digest === undefined ? 'new' : encodedOf(digest);
    const { whole, partial } = this.#joined(blob, digest, options.offset ?? 0);
    const staged = await stageBlob(this.#staging, `${STAGED}-${process.pid}-${name}`, whole, descriptor, {
      ...options,
      keepPartial: digest !== undefined,
    }).finally(async () => {
      // Used up, or wrong: either way it must not be gone on from again.
      if (partial) await rm(partial, { force: true });
    });
    await this.#place(staged);
    return { digest: staged.digest, size: staged.size };
  }

  /** Finds what a copy that failed or was killed left of a blob. */
  async uploadedBytes(digest: Digest): Promise<number> {
    let most = 0;
    for (const name of await readdir(this.#staging)) {
      const [, pid, encoded] = STAGED_NAME.exec(name) ?? [];
      if (encoded !== encodedOf(digest) || isRunning(Number(pid))) continue;
      const path = join(this.#staging, name);
      const { size } = await stat(path);
      if (size <= most) continue;
      most = size;
      this.#partial.set(digest, path);
    }
    return most;
  }

  /** The bytes that are there, then those that come: all of them are checked together. */
  #joined(blob: BlobStream, digest: Digest | undefined, offset: number) {
    const partial = digest && offset > 0 ? this.#partial.get(digest) : undefined;
    if (!partial) return { whole: blob };
    async function* both(path: string): AsyncGenerator<Buffer> {
      yield* createReadStream(path, { end: offset - 1, highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
      yield* blob.stream as AsyncIterable<Buffer>;
    }
    return { whole: { stream: Readable.from(both(partial)) }, partial };
  }

  async putManifest(bytes: Uint8Array, mediaType: string, instance?: Digest): Promise<void> {
    const digest = instance ?? this.requiredDigest ?? digestOf(bytes);
    const path = this.#files.blobPath(digest);
    await mkdir(join(path, '..'), { recursive: true, mode: 0o755 });
    await replaceFile(path, bytes);
    this.#stored = true;
    if (instance !== undefined) return;
    const { name } = this.reference.selector;
    this.#entry = {
      mediaType,
      digest,
      size: bytes.length,
      ...(name === '' ? {} : { annotations: { [REF_NAME]: name } }),
    };
  }

  async putSignatures(signatures: readonly StoredSignature[]): Promise<void> {
    if (signatures.length)
      throw new TransportError('unsupported', 'Pushing signatures for OCI images is not supported');
  }

  async commit(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const entry = this.#entry;
    if (!entry) throw new Error('commit before the manifest was put');
    const { path } = this.reference;
    await withFileLock(
      join(path, '.index.lock'),
      async () => {
        await replaceFile(join(path, 'oci-layout'), Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
        const index = (await this.#readIndex())?.json ?? {
          schemaVersion: 2,
          mediaType: MEDIA_TYPE.ociIndex,
          manifests: [],
        };
        await replaceFile(join(path, 'index.json'), Buffer.from(JSON.stringify(addToIndex(index, entry))));
        await this.#sweep();
      },
      options.signal,
    );
  }

  /** Whole blobs stay for a later try; a layout that got nothing goes again. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stored || !this.#made) return;
    await rmdir(join(this.reference.path, 'blobs')).catch(() => {});
    await rmdir(this.reference.path).catch(() => {});
  }

  /** Removes what processes that were killed have staged. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#staging)) {
      const pid = STAGED_NAME.exec(name)?.[1];
      if (pid !== undefined && !isRunning(Number(pid))) await rm(join(this.#staging, name), { force: true });
    }
  }

  async #place(staged: { place(path: string): Promise<void>; discard(): Promise<void>; digest: Digest }) {
    try {
      await staged.place(this.#files.blobPath(staged.digest));
      this.#stored = true;
    } catch (error) {
      await staged.discard();
      throw error;
    }
  }

  async #readIndex(): Promise<LayoutIndex | undefined> {
    try {
      return parseLayoutIndex(await this.#files.readIndex(), this.reference.path);
    } catch (error) {
      if (error instanceof TransportError && error.code === 'not-found') return undefined;
      throw error;
    }
  }
}
