import type { ImageRecord, LayerRecord, Store } from '../../../store/storage/contract.ts';

/** Facts about images that listings need; the layers of the store are read once. */
export class ImageFacts {
  readonly #store: Store;
  #layers: Promise<ReadonlyMap<string, LayerRecord>> | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Storage keeps the config's own date. */
  created(record: ImageRecord): Date {
    const date = new Date(record.created);
    return Number.isNaN(date.getTime()) ? new Date(0) : date;
  }

  /** Documents and plain layers together, as containers/storage counts. */
  async sizeBytes(record: ImageRecord): Promise<number> {
    this.#layers ??= this.#store.layers
      .list()
      .then((list) => new Map(list.map((layer) => [layer.id, layer])));
    const layers = await this.#layers;
    let total = 0;
    for (const key in record.bigDataSizes) total += record.bigDataSizes[key] ?? 0;
    for (let id = record.topLayer; id; ) {
      const layer = layers.get(id);
      if (!layer) break;
      total += Math.max(layer.diffSize ?? 0, 0);
      id = layer.parent;
    }
    return total;
  }

  newestFirst(list: readonly ImageRecord[]): ImageRecord[] {
    const dated = list.map((record) => ({ record, at: this.created(record).getTime() }));
    return dated.sort((a, b) => b.at - a.at).map(({ record }) => record);
  }
}
