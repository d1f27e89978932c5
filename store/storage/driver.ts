import type { Readable } from 'node:stream';
import type { ApplyResult, IdMappings, PackOptions, PackResult } from '../layer/contract.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';

export interface MountOptions {
  readonly readOnly?: boolean;
  readonly mountLabel?: string;
  /** Options of the file system that replace the configured ones, such as `nodev` or `volatile`. */
  readonly options?: readonly string[];
  /** The ids of the layer, where those below it have none of their own. */
  readonly idMappings?: IdMappings;
  /** What is written need not survive a power cut: unmounting does not wait for the disk. */
  readonly volatile?: boolean;
}

/** A layer's tree that was filled in a temporary directory and waits for its place. */
export interface StagedTree {
  readonly directory: string;
  readonly result: ApplyResult | PackResult;
  /** The changeset said what the root directory is like; otherwise it becomes as that of the parent. */
  readonly hasRoot: boolean;
}

export interface Change {
  readonly kind: 'A' | 'C' | 'D';
  readonly path: string;
}

/**
 * How a driver keeps the trees of layers on disk. Records are none of its business; callers hold the layer lock for
 * every method that changes the directory of a layer.
 */
export interface GraphDriver {
  readonly name: 'overlay' | 'vfs';
  /** Read-only graph roots whose layers may be parents. */
  readonly additionalStores: readonly string[];
  /** Directories for {@link TemporaryDirectory}, that of new layers first. */
  readonly temporaryRoots: readonly string[];
  /** The user wants layers on disk before they are recorded (`sync=filesystem`). */
  readonly syncsFilesystem: boolean;
  /** True where a tree can be staged before its parent exists. */
  readonly stagesWithoutParent: boolean;

  exists(id: string): boolean;
  /** The directory with the files of the layer itself (overlay) or of the whole tree (vfs). */
  diffDirectory(id: string): string;
  /** Unpacks a plain tar below `temporary` without any lock. */
  stage(
    tar: Readable,
    temporary: TemporaryDirectory,
    options: { readonly parent?: string; readonly idMappings?: IdMappings; readonly signal?: AbortSignal },
  ): Promise<StagedTree>;
  /** Puts a staged tree in its place as layer `id`. */
  install(id: string, parent: string | undefined, staged: StagedTree, temporary: TemporaryDirectory): void;
  /**
   * An empty writable layer above `parent`.
   * @param shift the ids that the files of the parent, which have none of their own, get in this layer
   */
  create(
    id: string,
    parent: string | undefined,
    idMappings: IdMappings | undefined,
    shift: IdMappings | undefined,
  ): Promise<void>;
  /** Turns what a writable layer changed into a staged tree, in one pass; see LayerStore.commitFrom. */
  stageFrom(id: string, temporary: TemporaryDirectory, options: StageFromOptions): Promise<StagedTree>;
  /** Moves the layer's directory into `temporary`; what is not there is fine. */
  remove(id: string, temporary: TemporaryDirectory): void;
  /** Gives back the space of a layer that is about to be removed, where there is none left to do that in order. */
  empty(id: string): Promise<void>;
  mount(id: string, options: MountOptions): Promise<string>;
  /** Idempotent. */
  unmount(id: string): Promise<void>;
  changes(id: string, parent: string | undefined): Promise<readonly Change[]>;
  /** The changes of a layer that has no tar-split, as a plain tar stream. */
  diff(id: string, parent: string | undefined, options: DiffOptions): Promise<Readable>;
  /** Ids of the layer directories that are there. */
  list(): string[];
  /** Removes what belongs to no layer directory, such as links that lead nowhere. */
  tidy(): void;
  /** True after something was mounted or unmounted through this driver. */
  readonly hasMounted: boolean;
  /** Undoes what using the driver did to the mount table, when no layer is mounted any more. */
  shutdown(): void;
}

export interface StageFromOptions {
  readonly parent?: string;
  readonly move: boolean;
  readonly idMappings?: IdMappings;
  readonly timestamp?: { readonly seconds: number; readonly mode: 'set' | 'clamp' };
  readonly exclude?: readonly string[];
  readonly signal?: AbortSignal;
}

/** As packLayer has them. */
export type DiffOptions = Pick<PackOptions, 'idMappings' | 'timestamp' | 'exclude' | 'windows' | 'signal'>;

/** What the drivers are made with. */
export interface DriverSettings {
  readonly graphRoot: string;
  readonly runRoot: string;
  /** Graph root of a separate image store. */
  readonly imageStore?: string;
  readonly options: readonly string[];
  readonly rootless: boolean;
}
