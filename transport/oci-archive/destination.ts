import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor } from '../../image/descriptor.ts';
import type { Digest } from '../../image/digest.ts';
import type { BlobStream } from '../../store/blob/contract.ts';
import { type ArchiveOutput, openArchiveOutput } from '../archive/output.ts';
import { packDirectory } from '../archive/pack-directory.ts';
import { TarWriter } from '../archive/tar-writer.ts';
import type {
  CompanionHolder,
  ImageDestination,
  ImageReference,
  PutBlobOptions,
  StoredSignature,
  TransportContext,
} from '../contract.ts';
import { TransportError } from '../error.ts';
import { LayoutReference } from '../oci/reference.ts';
import type { LayoutArchiveReference } from './reference.ts';

/**
 * Collects a layout in the temporary directory and writes it as one tar file at commit; a file that is there is
 * replaced then, as a whole. Members are sorted and carry no times, so equal images give equal archives.
 * @throws TransportError `bad-reference` for a reference by position
 */
export async function openLayoutArchiveDestination(
  reference: LayoutArchiveReference,
  context: TransportContext,
): Promise<ImageDestination> {
  if (reference.selector.position !== undefined)
    throw new TransportError(
      'bad-reference',
      `Destination reference must not contain a manifest index @${reference.selector.position}`,
    );
  const output = await openArchiveOutput(reference.path);
  try {
    const directory = await mkdtemp(join(context.temporaryDirectory, 'slipway-oci-'));
    const layout = new LayoutReference(directory, reference.selector, directory);
    const { ociSharedBlobDirectory: _shared, ...own } = context;
    const inner = await layout.openDestination(own);
    return new LayoutArchiveDestination(reference, layout, inner, output);
  } catch (error) {
    await output.discard();
    throw error;
  }
}

class LayoutArchiveDestination implements ImageDestination, CompanionHolder {
  readonly reference: LayoutArchiveReference;
  readonly manifestTypes: readonly string[];
  readonly acceptsIndexes = true;
  readonly layerCompression: ImageDestination['layerCompression'];
  readonly acceptsForeignLayers = true;
  readonly signatureKinds = [];
  readonly requiredDigest?: Digest;
  readonly #layout: LayoutReference;
  readonly #inner: ImageDestination;
  readonly #output: ArchiveOutput;
  #named = false;
  #committed = false;

  constructor(
    reference: LayoutArchiveReference,
    layout: LayoutReference,
    inner: ImageDestination,
    output: ArchiveOutput,
  ) {
    this.reference = reference;
    this.#layout = layout;
    this.#inner = inner;
    this.#output = output;
    this.manifestTypes = inner.manifestTypes;
    this.layerCompression = inner.layerCompression;
    if (inner.requiredDigest) this.requiredDigest = inner.requiredDigest;
  }

  tryReuseBlob(descriptor: Descriptor, options: PutBlobOptions) {
    return this.#inner.tryReuseBlob(descriptor, options);
  }

  putBlob(
    blob: BlobStream,
    descriptor: Parameters<ImageDestination['putBlob']>[1],
    options: PutBlobOptions,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    return this.#inner.putBlob(blob, descriptor, options);
  }

  putManifest(bytes: Uint8Array, mediaType: string, instance?: Digest): Promise<void> {
    return this.#inner.putManifest(bytes, mediaType, instance);
  }

  putSignatures(signatures: readonly StoredSignature[]): Promise<void> {
    return this.#inner.putSignatures(signatures);
  }

  /** The layout's index names the image first, as readers that take the first entry expect. */
  async companions(options: { readonly signal?: AbortSignal } = {}): Promise<ImageReference> {
    await this.#name(options);
    return this.#layout;
  }

  async commit(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#name(options);
    const tar = new TarWriter(this.#output.stream, options.signal);
    await packDirectory(tar, this.#layout.path);
    await tar.end();
    await this.#output.publish();
    this.#committed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inner[Symbol.asyncDispose]();
    if (!this.#committed) await this.#output.discard();
    await rm(this.#layout.path, { recursive: true, force: true });
  }

  async #name(options: { readonly signal?: AbortSignal }): Promise<void> {
    if (!this.#named) await this.#inner.commit(options);
    this.#named = true;
  }
}
