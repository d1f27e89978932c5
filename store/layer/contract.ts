import type { Readable, Writable } from 'node:stream';
import type { Digest } from '../../image/digest.ts';

/** Maps container ids to host ids: `containerId..containerId+size` are `hostId..hostId+size`. */
export interface IdRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}
export interface IdMappings {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** How whiteouts look on disk: overlay's char devices and opaque xattrs, or plain deletion in a full tree (vfs). */
export type WhiteoutFormat = 'overlay' | 'delete';

/** Options of applying a layer changeset to a directory. */
export interface ApplyOptions {
  /** `overlay` keeps whiteouts as 0:0 char devices and opaque xattrs; `delete` removes the named files from the tree. */
  readonly whiteouts: WhiteoutFormat;
  /** Absent: ids are written as they are. */
  readonly idMappings?: IdMappings;
  /** In a user namespace devices cannot be made and are skipped, as containers/storage does. */
  readonly inUserNamespace?: boolean;
  /**
   * Entries whose ownership cannot be set keep the caller's (rootless with one id) and note the wanted one in
   * `user.containers.override_stat`; devices that cannot be made become empty files with that attribute. Default
   * false: an error.
   */
  readonly ignoreChownErrors?: boolean;
  /** `user.` where the kernel wants rootless overlay attributes, else `trusted.`. Default `trusted.`. */
  readonly overlayXattrPrefix?: 'trusted.' | 'user.';
  /** Budget; defaults: 1 TiB, 10 million entries. */
  readonly limitBytes?: number;
  readonly limitEntries?: number;
  readonly signal?: AbortSignal;
}

/** What applying a plain (uncompressed) tar stream found. */
export interface ApplyResult {
  /** sha256 over the whole plain stream, bytes after the end marker included. */
  readonly diffId: Digest;
  /** Length of the plain stream in bytes. */
  readonly sizeBytes: number;
  /** Sum of regular file sizes. */
  readonly contentBytes: number;
  /** Every id that an entry is owned by, for layers.json. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** gzip-compressed tar-split JSON stream, as containers/storage stores it in `<id>.tar-split.gz`. */
  readonly tarSplit: Uint8Array | string;
}

/** Options of packing a directory into a layer changeset. */
export interface PackOptions {
  /** Treat 0:0 char devices and opaque xattrs as whiteouts (`overlay`), or pack all as plain files (`none`). */
  readonly whiteouts: 'overlay' | 'none';
  readonly idMappings?: IdMappings;
  readonly overlayXattrPrefix?: 'trusted.' | 'user.';
  /**
   * The directories of the layers below, topmost first. overlayfs marks every new directory opaque; with this list
   * only those become opaque whiteouts that hide something. Absent: all of them.
   */
  readonly lowerDirectories?: readonly string[];
  /**
   * Leave out directories that are as the layers below show them, with nothing in them that is not: overlayfs makes such
   * copies for what came and went in them. Needs `lowerDirectories`, in the ids of `root`.
   */
  readonly omitUnchanged?: boolean;
  /** Owner, mode and device come from `user.containers.override_stat` where a file has it, which is not packed then. */
  readonly ownerOverrides?: boolean;
  /** Clamp or set every modification time, in seconds since the epoch. */
  readonly timestamp?: { readonly seconds: number; readonly mode: 'set' | 'clamp' };
  /**
   * The layout of layers of Windows: everything below `Files`, beside `Hives`, with attributes of Windows. The two are
   * made at this time.
   */
  readonly windows?: { readonly madeAtSeconds: number };
  /** Paths relative to the root that stay out, exact names with everything below. */
  readonly exclude?: readonly string[];
  readonly signal?: AbortSignal;
}

export interface PackResult {
  readonly diffId: Digest;
  readonly sizeBytes: number;
  readonly contentBytes: number;
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** What `omitUnchanged` left out. */
  readonly unchanged: readonly string[];
  /** Paths, latin1 like names of entries, of what has POSIX access control lists, which changesets do not carry. */
  readonly withAccessLists: readonly string[];
  readonly tarSplit: Uint8Array | string;
}

/** store/layer's functions, implemented in apply.ts, pack.ts and tar-split.ts. */
export interface LayerCodec {
  /**
   * Unpacks a plain tar stream below `root`, which exists. Never writes outside it (SECURITY: I1 to I3, T01 to T23).
   * A failure leaves the tree half-written: the caller discards the directory.
   */
  applyLayer(root: string, plainTar: Readable, options: ApplyOptions): Promise<ApplyResult>;
  /** Walks `root` and, in one pass, writes the changeset to `output` (when given), hashes it and makes its tar-split. */
  packLayer(root: string, output: Writable | undefined, options: PackOptions): Promise<PackResult>;
  /** The exact tar stream that a tar-split describes, with file contents from `root`. */
  assembleLayer(tarSplitGz: Uint8Array | string, root: string): Readable;
}
