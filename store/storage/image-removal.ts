import { StoreError } from '../error.ts';
import type { Rows } from './database.ts';
import type { ContainerRow, ImageRow, LayerRow } from './records.ts';

/** Who needs which layer, counted once for all images that are to go. */
export class LayerUse {
  readonly #layers: Rows<LayerRow>;
  readonly #users = new Map<string, number>();
  readonly #children = new Map<string, number>();
  readonly #containers = new Map<string, string>();

  constructor(layers: Rows<LayerRow>, images: Rows<ImageRow>, containers: Rows<ContainerRow>) {
    this.#layers = layers;
    for (const { parent } of layers.all) if (parent) add(this.#children, parent, 1);
    for (const image of images.all) for (const id of topLayers(image)) add(this.#users, id, 1);
    for (const { id, image, layer } of containers.all) {
      add(this.#users, layer, 1);
      if (!this.#containers.has(image)) this.#containers.set(image, id);
    }
  }

  /**
   * Which layers go when an image goes: from its top layer down to the first one that a container, another image or
   * another layer needs; mapped copies of the top layer first. Images released before do not count any more.
   * @throws StoreError `in-use` when a container was made from the image
   */
  release(image: ImageRow): LayerRow[] {
    const user = this.#containers.get(image.id);
    if (user) throw new StoreError('in-use', `image used by ${user}: image is in use by a container`);
    for (const id of topLayers(image)) add(this.#users, id, -1);
    const doomed: LayerRow[] = [];
    for (const id of image['mapped-layers'] ?? []) this.#take(id, doomed);
    for (let row = this.#take(image.layer, doomed); row !== undefined; ) row = this.#take(row.parent, doomed);
    return doomed;
  }

  #take(id: string | undefined, doomed: LayerRow[]): LayerRow | undefined {
    const row = id ? this.#layers.byId(id) : undefined;
    if (!row || this.#users.get(row.id) || this.#children.get(row.id)) return undefined;
    // Nobody takes it a second time.
    add(this.#users, row.id, 1);
    if (row.parent) add(this.#children, row.parent, -1);
    doomed.push(row);
    return row;
  }
}

function topLayers(image: ImageRow): string[] {
  const { layer, 'mapped-layers': mapped } = image;
  return [...(layer ? [layer] : []), ...(mapped ?? [])];
}

function add(counts: Map<string, number>, key: string, change: number): void {
  counts.set(key, (counts.get(key) ?? 0) + change);
}
