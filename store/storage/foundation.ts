import { join } from 'node:path';
import { Database, type DatabaseFile, type WritableRows } from './database.ts';
import type { GraphDriver } from './driver.ts';
import { bothLocks, type LockFile, lockFileAt, type StoreLock } from './lock-file.ts';
import { MountCounts } from './mount-counts.ts';
import type { ContainerRow, ImageRow, LayerRow } from './records.ts';

/** Where one store lives and how it is to work. */
export interface StorePlaces {
  readonly graphRoot: string;
  readonly runRoot: string;
  readonly driverName: 'overlay' | 'vfs';
  /** A separate graph root for images and their layers. */
  readonly imageStore?: string;
  /** Containers and their layers are recorded in the run root and forgotten at reboot. */
  readonly transient: boolean;
  /** No container's layer is mounted as volatile. */
  readonly disableVolatile?: boolean;
}

/** Read-only layers and images of another graph root. */
export interface AdditionalStore {
  readonly root: string;
  readonly layers: Database<LayerRow>;
  readonly images: Database<ImageRow>;
}

/** Files that new layers are recorded in. */
export interface LayerFiles {
  readonly stable: DatabaseFile;
  readonly volatile: DatabaseFile;
  /** Layers of images; the stable file unless there is a separate image store. */
  readonly images: DatabaseFile;
}

/** The parts of an open store that its layer, image and container stores share. */
export interface Foundation {
  readonly places: StorePlaces;
  readonly driver: GraphDriver;
  /** storage.lock: held while something is mounted and while the driver is shut down. */
  readonly graphLock: LockFile;
  readonly layers: Database<LayerRow>;
  readonly layerFiles: LayerFiles;
  readonly images: Database<ImageRow>;
  readonly containers: Database<ContainerRow>;
  readonly additional: readonly AdditionalStore[];
  readonly mounts: MountCounts;
  readonly now: () => Date;
}

/** All rows, locked for writing in the order every tool keeps: layers, images, containers. */
export function writeEverything<T>(
  foundation: Foundation,
  use: (
    layers: WritableRows<LayerRow>,
    images: WritableRows<ImageRow>,
    containers: WritableRows<ContainerRow>,
  ) => T | Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  return foundation.layers.write(
    (layers) =>
      foundation.images.write(
        (images) => foundation.containers.write((containers) => use(layers, images, containers), signal),
        signal,
      ),
    signal,
  );
}

/** `<graphRoot>/<driver>-layers`: layers.json, tar-split and big data of layers. */
export function layerDirectory(places: StorePlaces): string {
  return join(places.graphRoot, `${places.driverName}-layers`);
}

export function imageDirectory(places: StorePlaces): string {
  return join(places.imageStore ?? places.graphRoot, `${places.driverName}-images`);
}

export function containerDirectory(places: StorePlaces): string {
  return join(places.graphRoot, `${places.driverName}-containers`);
}

export function containerRunDirectory(places: StorePlaces): string {
  return join(places.runRoot, `${places.driverName}-containers`);
}

/** @param hooks how layers that a dead process left incomplete are found and removed */
export function openFoundation(
  places: StorePlaces,
  driver: GraphDriver,
  now: () => Date,
  hooks: {
    readonly needsRepair: (rows: { readonly all: readonly LayerRow[] }) => boolean;
    readonly repair: (rows: WritableRows<LayerRow>) => Promise<void>;
  },
): Foundation {
  const layers = layerDirectory(places);
  const runLayers = join(places.runRoot, `${places.driverName}-layers`);
  const layerFiles = layerFilesOf(places, layers, runLayers);
  const images: DatabaseFile = { path: join(imageDirectory(places), 'images.json'), durable: true };
  const mountLock = lockFileAt(join(runLayers, 'mountpoints.lock'));
  return {
    places,
    driver,
    now,
    graphLock: lockFileAt(join(places.graphRoot, 'storage.lock')),
    layerFiles,
    layers: new Database<LayerRow>({
      lock: layerLock(places, layers),
      files: [...new Set([layerFiles.stable, layerFiles.images, layerFiles.volatile])],
      home: layerFiles.stable,
      what: 'layer',
      ...hooks,
    }),
    images: new Database<ImageRow>({
      lock: lockFileAt(join(imageDirectory(places), 'images.lock')),
      files: [images],
      home: images,
      what: 'image',
    }),
    containers: openContainers(places),
    additional: driver.additionalStores.map((root) => openAdditional(root, places.driverName)),
    mounts: new MountCounts(join(runLayers, 'mountpoints.json'), mountLock),
  };
}

function layerLock(places: StorePlaces, layers: string): StoreLock {
  const own = lockFileAt(join(layers, 'layers.lock'));
  if (places.imageStore === undefined) return own;
  return bothLocks(own, lockFileAt(join(places.imageStore, `${places.driverName}-layers`, 'layers.lock')));
}

function layerFilesOf(places: StorePlaces, layers: string, runLayers: string): LayerFiles {
  const stable: DatabaseFile = { path: join(layers, 'layers.json'), durable: true };
  const images: DatabaseFile =
    places.imageStore === undefined
      ? stable
      : { path: join(places.imageStore, `${places.driverName}-layers`, 'layers.json'), durable: true };
  const volatileDirectory = places.transient ? runLayers : layers;
  return {
    stable,
    images,
    volatile: { path: join(volatileDirectory, 'volatile-layers.json'), durable: false },
  };
}

function openContainers(places: StorePlaces): Database<ContainerRow> {
  const stable: DatabaseFile = { path: join(containerDirectory(places), 'containers.json'), durable: true };
  const volatileDirectory = places.transient ? containerRunDirectory(places) : containerDirectory(places);
  const volatile: DatabaseFile = {
    path: join(volatileDirectory, 'volatile-containers.json'),
    durable: false,
  };
  return new Database<ContainerRow>({
    lock: lockFileAt(join(volatileDirectory, 'containers.lock')),
    files: [stable, volatile],
    home: places.transient ? volatile : stable,
    what: 'container',
  });
}

function openAdditional(root: string, driverName: string): AdditionalStore {
  const layers: DatabaseFile = { path: join(root, `${driverName}-layers`, 'layers.json'), durable: false };
  const volatile: DatabaseFile = {
    path: join(root, `${driverName}-layers`, 'volatile-layers.json'),
    durable: false,
  };
  const images: DatabaseFile = { path: join(root, `${driverName}-images`, 'images.json'), durable: false };
  return {
    root,
    layers: new Database<LayerRow>({
      lock: lockFileAt(join(root, `${driverName}-layers`, 'layers.lock'), { readOnly: true }),
      files: [layers, volatile],
      home: layers,
      what: 'layer',
    }),
    images: new Database<ImageRow>({
      lock: lockFileAt(join(root, `${driverName}-images`, 'images.lock'), { readOnly: true }),
      files: [images],
      home: images,
      what: 'image',
    }),
  };
}
