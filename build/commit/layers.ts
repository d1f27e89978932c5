import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Digest, finishDigest, startDigest } from '../../image/digest.ts';
import type { LayerRecord, Store } from '../../store/storage/contract.ts';
import type {
  BuildSurroundings,
  CommitOptions,
  LinkedLayer,
  WorkingContainer,
} from '../container/contract.ts';
import { withMount } from '../container/mount.ts';
import { BuildError } from '../error.ts';
import { concatenateTars } from './concatenate.ts';
import { extraFilesTar } from './extra-files.ts';
import type { CommittedLayer } from './image-documents.ts';
import { layerTar } from './layer-tar.ts';

export interface CommittedLayers {
  readonly layers: readonly CommittedLayer[];
  /** The layer made of the container's own changes. */
  readonly ownLayer?: string;
  /** Digest of the layer of added files, where one was made. */
  readonly extraLayer?: Digest;
}

/** What every new layer's file times become. */
export type LayerTimestamp = { readonly seconds: number; readonly mode: 'set' | 'clamp' } | undefined;

/**
 * The image's layers in storage, base first: those of the base image as they are, and the container's as one new
 * layer (none with `emptyLayer`; everything as one with `squash`).
 */
export async function commitLayers(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  options: CommitOptions,
  epoch: number | undefined,
): Promise<CommittedLayers> {
  const timestamp = layerTimestamp(options, epoch);
  if (options.squash) return squashed(surroundings, container, options, timestamp, epoch);
  const { store } = surroundings;
  const madeAtSeconds = epoch ?? seconds(surroundings.now());
  const layers = await baseLayers(store, container.layerId);
  const add = async (tar: NodeJS.ReadableStream) => {
    const record = await store.layers.createFromTar({ parent: layers.at(-1)?.id }, tar as PassThrough, {
      signal: surroundings.signal,
    });
    layers.push(await committed(store, record));
    return record;
  };
  const linked = async (list: readonly LinkedLayer[]) => {
    for (const { path } of list) await add(layerTar(path, timestamp));
  };
  await linked([...container.prependedLayers, ...(options.prependedLayers ?? [])]);
  let ownLayer: string | undefined;
  if (!options.emptyLayer && !options.omitLayerHistoryEntry) {
    const own = await ownLayerOf(surroundings, container, options, timestamp, {
      parent: layers.at(-1)?.id,
      madeAtSeconds,
    });
    ownLayer = own.id;
    layers.push(await committed(store, own));
  }
  let extraLayer: Digest | undefined;
  if (Object.keys(options.extraFiles ?? {}).length) {
    const record = await add(extraFilesTar(options.extraFiles ?? {}, madeAtSeconds));
    extraLayer = record.diffId;
  }
  await linked([...(options.appendedLayers ?? []), ...container.appendedLayers]);
  return { layers, ownLayer, extraLayer };
}

const seconds = (date: Date) => Math.floor(date.getTime() / 1000);

function layerTimestamp(options: CommitOptions, epoch: number | undefined): LayerTimestamp {
  if (options.sourceDateEpochSeconds !== undefined && options.timestampSeconds === undefined)
    return options.rewriteTimestamp ? { seconds: options.sourceDateEpochSeconds, mode: 'clamp' } : undefined;
  const fixed = options.timestampSeconds ?? (options.omitTimestamp ? epoch : undefined);
  return fixed === undefined ? undefined : { seconds: fixed, mode: 'set' };
}

const CLASSIC_OMISSIONS = ['dev', 'proc', 'sys'];

async function ownLayerOf(
  { store, signal }: BuildSurroundings,
  container: WorkingContainer,
  options: CommitOptions,
  timestamp: LayerTimestamp,
  below: { readonly parent: string | undefined; readonly madeAtSeconds: number },
): Promise<LayerRecord> {
  const exclude = [
    ...(options.excludePaths ?? []),
    ...(options.classicOmissions ? CLASSIC_OMISSIONS : []),
  ].map((path) => path.replace(/^\/+|\/+$/g, ''));
  return store.layers.commitFrom(container.layerId, {
    parent: below.parent,
    move: options.consumeContainer ?? false,
    timestamp,
    exclude: exclude.filter(Boolean),
    windows: windowsLayout(container, below.madeAtSeconds),
    signal,
  });
}

/** Containers for Windows have the layout of others until they become a layer. */
const windowsLayout = ({ ociConfig }: WorkingContainer, madeAtSeconds: number) =>
  ociConfig.os === 'windows' ? { madeAtSeconds } : undefined;

async function squashed(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  options: CommitOptions,
  timestamp: LayerTimestamp,
  epoch: number | undefined,
): Promise<CommittedLayers> {
  if ([...container.prependedLayers, ...container.appendedLayers].length || options.appendedLayers?.length)
    throw new BuildError('unsupported', 'an image with only one layer cannot take prebuilt layers');
  const madeAtSeconds = epoch ?? seconds(surroundings.now());
  const windows = windowsLayout(container, madeAtSeconds);
  if (windows && container.topLayer !== '')
    throw new BuildError('unsupported', 'an image for Windows cannot be squashed with the layers below it', {
      hint: 'leave out --squash',
    });
  const { store, signal } = surroundings;
  await using mounted = await withMount(store, container);
  const output = new PassThrough({ highWaterMark: 1 << 20 });
  const tars = [layerTar(mounted.rootfs, timestamp, { idMappings: container.idMappings, windows })];
  const { extraFiles = {} } = options;
  if (Object.keys(extraFiles).length) tars.push(extraFilesTar(extraFiles, madeAtSeconds));
  const [record] = await Promise.all([
    store.layers.createFromTar({}, output, { signal }),
    pipeline(concatenateTars(tars), output, { signal }),
  ]);
  const layers = [await committed(store, record)];
  return { layers, ownLayer: record.id };
}

/** The layers below a container's own, base first. */
async function baseLayers(store: Store, containerLayerId: string): Promise<CommittedLayer[]> {
  const own = await store.layers.get(containerLayerId);
  if (!own)
    throw new BuildError('no-such-container', `reading layer "${containerLayerId}": layer not known`, {
      hint: 'the container lost its storage: remove it with buildah rm',
    });
  return layersUpTo(store, own.parent);
}

/** A layer and those below it, base first. */
export async function layersUpTo(store: Store, topLayer: string | undefined): Promise<CommittedLayer[]> {
  const layers: CommittedLayer[] = [];
  for (let id = topLayer; id; ) {
    const record = await store.layers.get(id);
    if (!record) throw new BuildError('missing-file', `reading layer "${id}": layer not known`);
    layers.unshift(await committed(store, record));
    id = record.parent;
  }
  return layers;
}

/** A layer whose digest storage does not know (one made by another tool) is read once for it. */
async function committed(store: Store, record: LayerRecord): Promise<CommittedLayer> {
  if (record.diffId && record.diffSize !== undefined && record.diffSize >= 0)
    return { id: record.id, diffId: record.diffId, sizeBytes: record.diffSize };
  const { stream } = await store.layers.diff(record.id);
  const hash = startDigest();
  let sizeBytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { id: record.id, diffId: finishDigest(hash), sizeBytes };
}
