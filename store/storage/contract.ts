import type { Readable } from 'node:stream';
import type { Digest } from '../../image/digest.ts';
import type { Compression } from '../../image/media-type.ts';
import type { IdMappings, PackOptions } from '../layer/contract.ts';

/**
 * containers-storage as Podman, Buildah and Skopeo share it. Records are snapshots: reading one again after a
 * mutation gives the new state. All ids are 64 hexadecimal digits. Every mutation holds the lock that the originals
 * hold and is visible to them when the promise resolves.
 */
export interface Store extends AsyncDisposable {
  readonly graphRoot: string;
  readonly runRoot: string;
  readonly driver: 'overlay' | 'vfs';
  readonly graphOptions: readonly string[];
  /** True where this process works with mapped ids (rootless). */
  readonly rootless: boolean;

  readonly layers: LayerStore;
  readonly images: ImageStore;
  readonly containers: ContainerStore;

  /** Removes an image name by name, or the image with every layer nobody else needs. */
  deleteImage(
    id: string,
    options?: { readonly signal?: AbortSignal },
  ): Promise<{ readonly removedLayers: readonly string[] }>;
  /**
   * Changes many images at once: `decide` sees all images of this store (not those of read-only ones) and all containers
   * as they are under the locks, and says what is to be done. All of it is done or, after a throw, nothing.
   * @throws what `decide` throws; StoreError `no-such-image`, `in-use`
   */
  changeImages(
    decide: (images: readonly ImageRecord[], containers: readonly ContainerRecord[]) => ImageChanges,
    options?: { readonly signal?: AbortSignal },
  ): Promise<{ readonly removedLayers: readonly string[] }>;
  /** Unmounts and removes a container with its layer and directories. */
  deleteContainer(id: string): Promise<void>;
  /** As {@link deleteContainer} for as many as can be; gives those that could not. */
  deleteContainers(
    ids: readonly string[],
  ): Promise<readonly { readonly id: string; readonly error: unknown }[]>;
  /** Incomplete layers, orphaned data and stale temporary directories that a killed process left. */
  sweep(): Promise<void>;
}

/** What {@link Store.changeImages} is to do. */
export interface ImageChanges {
  readonly removeNames?: readonly { readonly id: string; readonly names: readonly string[] }[];
  /** Images that go, with the layers nobody else needs; by id or name. */
  readonly remove?: readonly string[];
}

export interface LayerRecord {
  readonly id: string;
  readonly names: readonly string[];
  readonly parent?: string;
  readonly mountLabel?: string;
  /** RFC 3339 with nanoseconds. */
  readonly created: string;
  readonly diffId?: Digest;
  /** Size of the plain diff in bytes; -1 when unknown. */
  readonly diffSize?: number;
  readonly compressedDigest?: Digest;
  readonly compressedSize?: number;
  readonly compression?: Compression;
  /** Digest of the table of contents of a layer that was pulled in parts (zstd:chunked). */
  readonly tocDigest?: Digest;
  readonly uids?: readonly number[];
  readonly gids?: readonly number[];
  readonly readOnly: boolean;
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly bigDataNames?: readonly string[];
  readonly idMappings?: IdMappings;
}

export interface CreateLayerOptions {
  /** Default: a random id for {@link LayerStore.create}, else the one derived from parent and diffID (layerIdOf). */
  readonly id?: string;
  readonly parent?: string;
  readonly names?: readonly string[];
  readonly mountLabel?: string;
  readonly readOnly?: boolean;
  readonly idMappings?: IdMappings;
}

/** A layer that was unpacked and checked but is not yet part of the store. Disposing discards it; harmless after it was registered. */
export interface StagedLayer extends AsyncDisposable {
  readonly diffId: Digest;
  /** Bytes of the plain tar. */
  readonly diffSize: number;
  /** Of the stream as it came in, sha256 unless another was expected; of a plain one its diffID. */
  readonly compressedDigest: Digest;
  readonly compressedSize: number;
  readonly compression: Compression | 'bzip2' | 'xz';
}

export interface MountLayerOptions {
  readonly readOnly?: boolean;
  readonly mountLabel?: string;
  /**
   * Called under the locks: before the first mount, or once one user more is counted. A process that dies after this
   * has left a mount that {@link LayerStore.unmount} takes away.
   */
  readonly onMounted?: () => void;
}

export interface UnmountLayerOptions {
  /** Unmount whatever the count is. */
  readonly force?: boolean;
  /** Called under the locks: after the last user's unmounting, or before another user's count is written. */
  readonly onUnmounted?: () => void;
}

export interface LayerStore {
  list(): Promise<readonly LayerRecord[]>;
  /** The layers right above one; undefined for those that stand on none. */
  childrenOf(id: string | undefined): Promise<readonly LayerRecord[]>;
  get(idOrName: string): Promise<LayerRecord | undefined>;
  byDiffId(digest: Digest): Promise<readonly LayerRecord[]>;
  byCompressedDigest(digest: Digest): Promise<readonly LayerRecord[]>;
  byTocDigest(digest: Digest): Promise<readonly LayerRecord[]>;
  /** An empty writable layer (that of a container) on top of `parent`. */
  create(options: CreateLayerOptions): Promise<LayerRecord>;
  /**
   * A layer filled from a tar stream, plain or compressed (found by its magic bytes). The directory is filled
   * without holding the store lock, so that layers unpack in parallel. A layer that exists under the id already and
   * has the same contents is given instead.
   * @param expected checked before the layer becomes visible
   * @throws StoreError `no-such-layer` for the parent, `digest-mismatch`, `bad-layer`, `name-in-use`
   */
  createFromTar(
    options: CreateLayerOptions,
    tar: Readable,
    expected?: {
      readonly diffId?: Digest;
      readonly compressedDigest?: Digest;
      /** What the record says of the compressed form, where the stream is the plain form of a blob that is known. */
      readonly recordAs?: {
        readonly compressedDigest: Digest;
        readonly compressedSize: number;
        readonly compression: Compression;
      };
      readonly signal?: AbortSignal;
    },
  ): Promise<LayerRecord>;
  /**
   * The first half of {@link createFromTar}: unpacks beside the store. Overlay needs no parent for it; vfs unpacks on a
   * copy of the parent, which must exist.
   */
  stageTar(
    tar: Readable,
    options?: {
      readonly parent?: string;
      readonly idMappings?: IdMappings;
      readonly expected?: { readonly diffId?: Digest; readonly compressedDigest?: Digest };
      /** True where the stream fails by itself unless it is what `expected.compressedDigest` says: it is not hashed again. */
      readonly trustCompressedDigest?: boolean;
      readonly signal?: AbortSignal;
    },
  ): Promise<StagedLayer>;
  /** The second half: gives a staged layer its parent and makes it visible. */
  createFromStaged(options: CreateLayerOptions, staged: StagedLayer): Promise<LayerRecord>;
  /** True where {@link stageTar} does not need the parent. */
  readonly stagesWithoutParent: boolean;
  /**
   * DESIGN 3, one pass: makes a read-only layer from a container layer's upper directory. With `move` the directory
   * is renamed into place and the container layer is left empty, unless it is mounted; otherwise it is copied (reflink
   * where possible).
   * @param transform options handed to packLayer
   */
  commitFrom(
    containerLayerId: string,
    options: CreateLayerOptions & {
      readonly move: boolean;
      readonly timestamp?: { readonly seconds: number; readonly mode: 'set' | 'clamp' };
      readonly exclude?: readonly string[];
      /** The layer gets the layout of Windows, which the container has not: it is never moved. */
      readonly windows?: PackOptions['windows'];
      readonly signal?: AbortSignal;
    },
  ): Promise<LayerRecord>;
  /** The plain tar stream of a layer against its parent, byte-exact through tar-split where there is one. */
  diff(
    id: string,
    options?: { readonly from?: string; readonly signal?: AbortSignal },
  ): Promise<{ readonly stream: Readable; readonly sizeBytes?: number }>;
  /** Changes between a layer and its parent (or `from`), as `A`, `C`, `D` with absolute paths. */
  changes(
    id: string,
    from?: string,
  ): Promise<readonly { readonly kind: 'A' | 'C' | 'D'; readonly path: string }[]>;
  /** Mounts and counts; gives the merged directory. A vfs layer is its own directory. */
  mount(id: string, options?: MountLayerOptions): Promise<string>;
  /** Drops one count, and unmounts at zero or with `force`. True when nothing is mounted any more. */
  unmount(id: string, options?: UnmountLayerOptions): Promise<boolean>;
  mounted(id: string): Promise<number>;
  mountPoint(id: string): Promise<string | undefined>;
  /** The layer's own directory (`diff` of overlay), for reading changed files without mounting. */
  diffDirectory(id: string): Promise<string>;
  setNames(id: string, names: readonly string[]): Promise<void>;
  delete(id: string): Promise<void>;
  bigData(id: string, key: string): Promise<Uint8Array | undefined>;
  setBigData(id: string, key: string, data: Uint8Array): Promise<void>;
}

export interface ImageRecord {
  readonly id: string;
  /** The digest of the image's `manifest` big data. */
  readonly digest?: Digest;
  readonly names: readonly string[];
  readonly namesHistory: readonly string[];
  readonly topLayer?: string;
  readonly mappedTopLayers?: readonly string[];
  readonly metadata: string;
  readonly bigDataNames: readonly string[];
  readonly bigDataSizes: Readonly<Record<string, number>>;
  readonly bigDataDigests: Readonly<Record<string, Digest>>;
  readonly created: string;
  readonly readOnly: boolean;
}

export interface CreateImageOptions {
  /** Default: random; images of a single manifest use the hex of their config digest. */
  readonly id?: string;
  readonly names?: readonly string[];
  readonly topLayer?: string;
  readonly metadata?: string;
  readonly digest?: Digest;
  /** RFC 3339; now where it is absent or malformed. */
  readonly created?: string;
  readonly bigData?: readonly { readonly key: string; readonly data: Uint8Array }[];
}

export interface ImageStore {
  list(): Promise<readonly ImageRecord[]>;
  /** By id, unique id prefix, or exact name. @throws StoreError `ambiguous-id` */
  get(idOrName: string): Promise<ImageRecord | undefined>;
  byDigest(digest: Digest): Promise<readonly ImageRecord[]>;
  byTopLayer(layerId: string): Promise<readonly ImageRecord[]>;
  /** Those whose top layer is one of these; an empty id stands for images without layers. */
  withTopLayer(layerIds: ReadonlySet<string>): Promise<readonly ImageRecord[]>;
  /** Creates the image; one that exists under this id gets the names and big data added (names move here from others). */
  create(options: CreateImageOptions): Promise<ImageRecord>;
  setNames(id: string, names: readonly string[]): Promise<void>;
  addNames(id: string, names: readonly string[]): Promise<void>;
  removeNames(id: string, names: readonly string[]): Promise<void>;
  setMetadata(id: string, metadata: string): Promise<void>;
  bigData(id: string, key: string): Promise<Uint8Array | undefined>;
  setBigData(id: string, key: string, data: Uint8Array): Promise<void>;
  /** The record alone, no layers; {@link Store.deleteImage} removes layers too. */
  delete(id: string): Promise<void>;
}

export interface ContainerRecord {
  readonly id: string;
  readonly names: readonly string[];
  readonly imageId: string;
  readonly layerId: string;
  readonly metadata: string;
  readonly bigDataNames: readonly string[];
  readonly created: string;
  readonly idMappings?: IdMappings;
  readonly flags?: Readonly<Record<string, unknown>>;
}

export interface CreateContainerOptions {
  readonly id?: string;
  readonly names?: readonly string[];
  /** Empty for a container from scratch. */
  readonly imageId?: string;
  readonly metadata?: string;
  readonly idMappings?: IdMappings;
  readonly mountLabel?: string;
  readonly flags?: Readonly<Record<string, unknown>>;
}

export interface ContainerStore {
  list(): Promise<readonly ContainerRecord[]>;
  /** By id, unique id prefix, or name. */
  get(idOrName: string): Promise<ContainerRecord | undefined>;
  /** With a new layer on top of the image's top layer. @throws StoreError `name-in-use`, `no-such-image` */
  create(options: CreateContainerOptions): Promise<ContainerRecord>;
  setNames(id: string, names: readonly string[]): Promise<void>;
  setMetadata(id: string, metadata: string): Promise<void>;
  bigData(id: string, key: string): Promise<Uint8Array | undefined>;
  setBigData(id: string, key: string, data: Uint8Array): Promise<void>;
  /** `<driver>-containers/<id>/userdata`, made when missing. */
  directory(id: string): Promise<string>;
  /** The same under the run root. */
  runDirectory(id: string): Promise<string>;
}
