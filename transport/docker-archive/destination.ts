import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor } from '../../image/descriptor.ts';
import type { Digest } from '../../image/digest.ts';
import { parseManifest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import type { NamedReference } from '../../image/reference.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { openArchiveOutput } from '../archive/output.ts';
import { TarWriter } from '../archive/tar-writer.ts';
import { stageBlob } from '../blob-file.ts';
import type {
  ImageDestination,
  ImageReference,
  PutBlobOptions,
  StoredSignature,
  TransportContext,
} from '../contract.ts';
import { TransportError } from '../error.ts';
import type { DockerArchiveReference } from './reference.ts';
import { SavedImages, type WaitingBlob } from './saved-images.ts';

/**
 * Writes an archive of one image: to a temporary name beside its place, renamed at commit, or straight into a pipe.
 * @throws TransportError `exists` for a file that is not empty, `bad-reference` for a reference by position
 */
export async function openDockerArchiveDestination(
  reference: DockerArchiveReference,
  context: TransportContext,
): Promise<ImageDestination> {
  if (reference.position !== undefined)
    throw new TransportError(
      'bad-reference',
      `Destination reference must not contain a manifest index @${reference.position}`,
    );
  const output = await openArchiveOutput(
    reference.path,
    "docker-archive doesn't support modifying existing images",
  );
  let published = false;
  const images = new SavedImages(new TarWriter(output.stream, context.signal));
  const tags = [...(reference.named ? [reference.named] : []), ...(context.additionalTags ?? [])];
  return openSavedImageDestination(reference, images, tags, context, {
    async commit() {
      await images.end();
      await output.publish();
      published = true;
    },
    async close() {
      if (!published) await output.discard();
    },
  });
}

/** How the archive around one image ends. */
export interface ArchiveEnd {
  commit(): Promise<void>;
  close(): Promise<void>;
}

/** Adds one image to an archive in the format of `docker save`. */
export async function openSavedImageDestination(
  reference: ImageReference,
  images: SavedImages,
  tags: readonly NamedReference[],
  context: TransportContext,
  end: ArchiveEnd,
  wishes: Pick<ImageDestination, 'layerCompression'> = { layerCompression: 'decompress' },
): Promise<ImageDestination> {
  try {
    const directory = await mkdtemp(join(context.temporaryDirectory, 'slipway-docker-'));
    return new SavedImageDestination(reference, images, tags, directory, end, wishes);
  } catch (error) {
    await end.close();
    throw error;
  }
}

class SavedImageDestination implements ImageDestination {
  readonly reference: ImageReference;
  readonly manifestTypes = [MEDIA_TYPE.dockerManifest];
  readonly acceptsIndexes = false;
  readonly layerCompression: ImageDestination['layerCompression'];
  readonly acceptsForeignLayers = false;
  readonly signatureKinds = [];
  readonly #images: SavedImages;
  readonly #tags: readonly NamedReference[];
  /** Blobs wait here: their order in the archive is that of the manifest, whichever came first. */
  readonly #directory: string;
  readonly #end: ArchiveEnd;
  readonly #waiting = new Map<Digest, WaitingBlob>();

  constructor(
    reference: ImageReference,
    images: SavedImages,
    tags: readonly NamedReference[],
    directory: string,
    end: ArchiveEnd,
    wishes: Pick<ImageDestination, 'layerCompression'>,
  ) {
    this.layerCompression = wishes.layerCompression;
    this.reference = reference;
    this.#images = images;
    this.#tags = tags;
    this.#directory = directory;
    this.#end = end;
  }

  async tryReuseBlob(descriptor: Descriptor) {
    if (!this.#waiting.has(descriptor.digest) && !this.#images.has(descriptor.digest)) return undefined;
    return { descriptor, how: 'present' as const };
  }

  async putBlob(
    blob: BlobStream,
    descriptor: { readonly digest?: Digest; readonly size?: number },
    options: PutBlobOptions,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    const staged = await stageBlob(this.#directory, 'blob', blob, descriptor, { ...options, sync: false });
    this.#waiting.set(staged.digest, staged);
    return { digest: staged.digest, size: staged.size };
  }

  async putManifest(bytes: Uint8Array, mediaType: string, instance?: Digest): Promise<void> {
    if (instance !== undefined)
      throw new TransportError('unsupported', 'Manifest lists are not supported for docker tar files');
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind !== 'image' || manifest.format !== 'docker')
      throw new TransportError('unsupported', 'Unsupported manifest type, need a Docker schema 2 manifest');
    const config = await readFile(this.#blob(manifest.config.digest).path);
    await this.#images.add(manifest, config, this.#tags, (digest) => this.#blob(digest));
  }

  async putSignatures(signatures: readonly StoredSignature[]): Promise<void> {
    if (signatures.length)
      throw new TransportError('unsupported', 'Storing signatures for docker tar files is not supported');
  }

  commit(): Promise<void> {
    return this.#end.commit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #blob(digest: Digest): WaitingBlob {
    const waiting = this.#waiting.get(digest);
    if (!waiting) throw new Error(`blob ${digest} was not put`);
    return waiting;
  }
}
