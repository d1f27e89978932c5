import type { ImageRecord, LayerRecord, Store } from '../../../store/storage/contract.ts';
import { GoTime } from '../../cli/template/go-time.ts';

/** Facts about images that listings need; the layers of the store are read once. */
export class ImageFacts {
  readonly #store: Store;
  readonly #created = new Map<ImageRecord, Date>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Storage keeps the config's own date. */
  created(record: ImageRecord): Date {
    let date = this.#created.get(record);
    if (date === undefined) {
      date = new Date(Date.parse(record.created) || 0);
      this.#created.set(record, date);
    }
    return date;
  }

  /** The same to the nanosecond. */
  createdRaw(record: ImageRecord): GoTime {
    return new GoTime(record.created);
  }

  /** What tells an image's bytes: documents and plain layers together, as containers/storage counts. */
  async sizes(): Promise<(record: ImageRecord) => number> {
    const layers = new Map((await this.#store.layers.list()).map((layer) => [layer.id, layer]));
    const below = new Map<string, number>();
    return ({ bigDataSizes, topLayer }) => {
      let total = sizeOfChain(layers, below, topLayer);
      for (const key in bigDataSizes) total += bigDataSizes[key] ?? 0;
      return total;
    };
  }

  newestFirst(list: readonly ImageRecord[]): ImageRecord[] {
    return [...list].sort((a, b) => this.created(b).getTime() - this.created(a).getTime());
  }
}

/** @param known sums of chains seen before, by their top layer: images share most of theirs */
function sizeOfChain(
  layers: ReadonlyMap<string, LayerRecord>,
  known: Map<string, number>,
  top: string | undefined,
): number {
  const chain: LayerRecord[] = [];
  let id = top;
  // A chain longer than the store is a ring, which only a damaged store has.
  for (; id && !known.has(id) && chain.length <= layers.size; id = chain.at(-1)?.parent) {
    const layer = layers.get(id);
    if (!layer) break;
    chain.push(layer);
  }
  let total = id ? (known.get(id) ?? 0) : 0;
  for (const layer of chain.reverse()) {
    total += Math.max(layer.diffSize ?? 0, 0);
    known.set(layer.id, total);
  }
  return total;
}
