import type { Digest } from '../../image/digest.ts';
import type { ImageRecord, LayerRecord, Store } from '../../store/storage/contract.ts';
import { readStoredConfig, readStoredImage } from '../container/stored-image.ts';
import { BuildError } from '../error.ts';

/** One step of an image's making, newest first. */
export interface HistoryStep {
  /** The id of a local image whose top layer this step made; undefined where there is none. */
  readonly id?: string;
  readonly tags: readonly string[];
  /** RFC 3339. */
  readonly created?: string;
  readonly createdBy: string;
  /** Bytes of the layer; 0 for a step without one. */
  readonly size: number;
  readonly comment?: string;
}

/**
 * The history of a local image, matched with its layers and the other images that end in one of them, as libimage does.
 * @throws BuildError `bad-argument` where the config's history names more layers than there are
 */
export async function imageHistory(store: Store, record: ImageRecord): Promise<readonly HistoryStep[]> {
  const { config } = await readStoredConfig(store, await readStoredImage(store, record));
  const owners = ownersByLayer(record, await store.images.list());
  let layer = record.topLayer === undefined ? undefined : await store.layers.get(record.topLayer);
  const used = new Set<string>();
  const steps: HistoryStep[] = [];
  for (const entry of [...(config.history ?? [])].reverse()) {
    const images = layer ? (owners.get(layer.id) ?? []) : [];
    const id = images[0] && !used.has(images[0].id) ? images[0].id : undefined;
    if (id) used.add(id);
    if (!entry.empty_layer && !layer)
      throw new BuildError('bad-argument', `image ${record.id}: its history names more layers than it has`);
    steps.push({
      ...(id ? { id } : {}),
      tags: images.flatMap((image) => image.names),
      ...(entry.created ? { created: entry.created } : {}),
      createdBy: entry.created_by ?? '',
      size: entry.empty_layer ? 0 : Math.max(layer?.diffSize ?? 0, 0),
      ...(entry.comment ? { comment: entry.comment } : {}),
    });
    if (!entry.empty_layer) layer = await parentOf(store, layer);
  }
  return steps;
}

async function parentOf(store: Store, layer: LayerRecord | undefined): Promise<LayerRecord | undefined> {
  return layer?.parent ? await store.layers.get(layer.parent) : undefined;
}

/** The image itself comes first among those that end in its own top layer. */
function ownersByLayer(first: ImageRecord, images: readonly ImageRecord[]): Map<string, ImageRecord[]> {
  const owners = new Map<string, ImageRecord[]>();
  for (const image of [first, ...images.filter(({ id }) => id !== first.id)]) {
    if (image.topLayer === undefined) continue;
    owners.set(image.topLayer, [...(owners.get(image.topLayer) ?? []), image]);
  }
  return owners;
}

/** A layer with the images that end in it. */
export interface LayerNode {
  readonly id: string;
  readonly diffId?: Digest;
  readonly size: number;
  readonly topLayerOf: readonly string[];
  readonly children: readonly LayerNode[];
}

/** The layers of an image from its base up, one below the other. */
export async function imageLayers(store: Store, record: ImageRecord): Promise<readonly LayerNode[]> {
  const owners = ownersByLayer(record, await store.images.list());
  const nodes: LayerNode[] = [];
  for (
    let layer = record.topLayer ? await store.layers.get(record.topLayer) : undefined;
    layer;
    layer = await parentOf(store, layer)
  )
    nodes.unshift(nodeOf(layer, owners, []));
  return nodes;
}

/** The image's top layer and every layer that is built on it. */
export async function layersOnTop(store: Store, record: ImageRecord): Promise<readonly LayerNode[]> {
  const owners = ownersByLayer(record, await store.images.list());
  const children = Map.groupBy(await store.layers.list(), (layer) => layer.parent ?? '');
  const describe = (layer: LayerRecord): LayerNode =>
    nodeOf(layer, owners, (children.get(layer.id) ?? []).map(describe));
  const top = record.topLayer ? await store.layers.get(record.topLayer) : undefined;
  return top ? [describe(top)] : [];
}

function nodeOf(
  layer: LayerRecord,
  owners: ReadonlyMap<string, readonly ImageRecord[]>,
  children: readonly LayerNode[],
): LayerNode {
  return {
    id: layer.id,
    ...(layer.diffId ? { diffId: layer.diffId } : {}),
    size: Math.max(layer.diffSize ?? 0, 0),
    topLayerOf: (owners.get(layer.id) ?? []).flatMap((image) => (image.names.length ? image.names : [])),
    children,
  };
}

/** Bytes of all layers and documents of an image, as `images` prints them. */
export async function imageSize(store: Store, record: ImageRecord): Promise<number> {
  const layers = await imageLayers(store, record);
  const documents = Object.values(record.bigDataSizes).reduce((sum, size) => sum + size, 0);
  return layers.reduce((sum, layer) => sum + layer.size, documents);
}
