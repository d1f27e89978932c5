import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Digest } from '../../image/digest.ts';
import { StoreError } from '../../store/error.ts';
import type { LayerRecord, StagedLayer, Store } from '../../store/storage/contract.ts';
import { layerIdOf } from '../../store/storage/layer-id.ts';
import { TransportError } from '../error.ts';
import type { PendingBlobs } from './pending-blobs.ts';

/**
 * The layers of an image that is being written. Overlay layers are unpacked beside the store as they arrive, in
 * parallel; vfs ones wait in files, since they are unpacked on a copy of their parent.
 */
export class PendingLayers implements AsyncDisposable {
  readonly #store: Store;
  readonly #blobs: PendingBlobs;
  readonly #staged = new Map<Digest, StagedLayer>();
  readonly #diffIds = new Map<Digest, Digest>();
  /** DiffIDs that the config claims for blobs which are not unpacked yet. */
  readonly #claimed = new Map<Digest, Digest>();
  readonly #created: string[] = [];

  constructor(store: Store, blobs: PendingBlobs) {
    this.#store = store;
    this.#blobs = blobs;
  }

  /** The plain digest of a layer blob that was put or found. */
  diffIdOf(digest: Digest): Digest | undefined {
    return this.#diffIds.get(digest);
  }

  note(digest: Digest, diffId: Digest): void {
    this.#diffIds.set(digest, diffId);
  }

  /** @returns digest and size of the stream as it came in */
  async put(
    stream: Readable,
    expected: { readonly digest?: Digest; readonly verified: boolean; readonly diffId?: Digest },
    signal?: AbortSignal,
  ): Promise<{ readonly digest: Digest; readonly size: number }> {
    if (!this.#store.layers.stagesWithoutParent) {
      const blob = await this.#blobs.put(stream, expected, signal);
      if (expected.diffId !== undefined) this.#claimed.set(blob.digest, expected.diffId);
      return blob;
    }
    const staged = await this.#store.layers.stageTar(stream, {
      expected: { compressedDigest: expected.digest, diffId: expected.diffId },
      trustCompressedDigest: expected.verified,
      signal,
    });
    this.note(staged.compressedDigest, staged.diffId);
    this.note(staged.diffId, staged.diffId);
    const other = this.#staged.get(staged.diffId);
    if (other) await staged[Symbol.asyncDispose]();
    else this.#staged.set(staged.diffId, staged);
    return { digest: staged.compressedDigest, size: staged.compressedSize };
  }

  /** Makes the layers visible, base first; gives the id of the top one. */
  async register(
    layers: readonly { readonly digest: Digest }[],
    signal?: AbortSignal,
  ): Promise<LayerRecord[]> {
    const made: LayerRecord[] = [];
    for (const { digest } of layers) {
      signal?.throwIfAborted();
      made.push(await this.#registerOne(digest, made.at(-1)?.id, signal));
    }
    return made;
  }

  /** Removes the layers that {@link register} made, save those that somebody uses by now. */
  async undo(): Promise<void> {
    for (const id of this.#created.splice(0).reverse()) {
      try {
        await this.#store.layers.delete(id);
      } catch (error) {
        if (!(error instanceof StoreError) || !['in-use', 'no-such-layer'].includes(error.code)) throw error;
      }
    }
  }

  #note<T extends LayerRecord>(layer: T): T {
    this.#created.push(layer.id);
    return layer;
  }

  async #registerOne(digest: Digest, parent: string | undefined, signal?: AbortSignal): Promise<LayerRecord> {
    const file = this.#blobs.fileOf(digest);
    const diffId = this.#diffIds.get(digest);
    if (diffId !== undefined) {
      const existing = await this.#store.layers.get(layerIdOf(parent, { diffId }));
      if (existing) return existing;
      const staged = this.#staged.get(diffId);
      if (staged) {
        this.#staged.delete(diffId);
        return this.#note(await this.#store.layers.createFromStaged({ parent }, staged));
      }
    }
    if (file !== undefined) {
      const layer = await this.#store.layers.createFromTar({ parent }, createReadStream(file), {
        diffId: this.#claimed.get(digest),
        signal,
      });
      this.note(digest, layer.diffId!);
      return this.#note(layer);
    }
    return await this.#copy(digest, parent, diffId, signal);
  }

  /** The same contents above another parent: unpacked once more from the layer that has them. */
  async #copy(
    digest: Digest,
    parent: string | undefined,
    diffId: Digest | undefined,
    signal?: AbortSignal,
  ): Promise<LayerRecord> {
    const { layers } = this.#store;
    const [model] = [
      ...(diffId === undefined ? [] : await layers.byDiffId(diffId)),
      ...(await layers.byDiffId(digest)),
      ...(await layers.byCompressedDigest(digest)),
    ];
    if (model?.diffId === undefined)
      throw new TransportError(
        'not-found',
        `error determining uncompressed digest for blob ${JSON.stringify(digest)}`,
      );
    this.note(digest, model.diffId);
    const existing = await layers.get(layerIdOf(parent, { diffId: model.diffId }));
    if (existing) return existing;
    const { stream } = await layers.diff(model.id, { signal });
    const made = await layers.createFromTar({ parent }, stream, {
      diffId: model.diffId,
      signal,
      recordAs:
        model.compressedDigest !== undefined && model.compressedSize !== undefined
          ? {
              compressedDigest: model.compressedDigest,
              compressedSize: model.compressedSize,
              compression: model.compression ?? 'none',
            }
          : undefined,
    });
    return this.#note(made);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const staged of this.#staged.values()) await staged[Symbol.asyncDispose]();
    this.#staged.clear();
  }
}
