import { isSystemError, systemReason } from '../../errors.ts';
import {
  closeDescriptor,
  type FileStatus,
  getXattr,
  listXattrs,
  OPEN,
  openAt,
  readDirectory,
  readLinkAt,
  S_IF,
  statAt,
  statDescriptor,
  type XattrTarget,
} from '../../store/kernel/index.ts';
import { isOrdinaryUser, OVERRIDE_XATTR, readOverride } from '../../store/layer/owner-override.ts';
import { BuildError } from '../error.ts';
import type { ModeChange } from './chmod.ts';
import { joinBytes } from './glob.ts';
import type { Owner } from './owner.ts';
import type { IgnoreRules } from './pattern.ts';
import { type BytePath, fromBytes, type RootedDirectory, toBytes, toText } from './rooted.ts';
import type { ContentReader, TreeEntry } from './tree-writer.ts';
import { descriptorReader } from './tree-writer.ts';

/** How metadata changes on the way. */
export interface ReadOptions {
  /** Absent: the source's own owner. */
  readonly owner?: Owner;
  readonly chmod?: ModeChange;
  /** Bits to take away: setuid 04000, setgid 02000, sticky 01000. */
  readonly stripBits?: number;
  /** Every modification time, in nanoseconds. */
  readonly timestampNs?: bigint;
  readonly ignore?: IgnoreRules;
  /** Of a file that need not be read then. */
  readonly knownDigest?: (status: FileStatus, entry: TreeEntry) => Uint8Array | undefined;
  readonly onWarning?: (text: string) => void;
}

/** Where a file's content comes from. */
export interface FileOrigin {
  readonly status: FileStatus;
  /** What {@link ReadOptions.knownDigest} said; there is no content to read then. */
  readonly digest?: Uint8Array;
  /** The status now, while the file is open. */
  again(): FileStatus;
}

/** Receives what is read, directories before their contents, names in byte order. */
export type OnEntry = (
  entry: TreeEntry,
  sizeBytes: number,
  content?: ContentReader,
  origin?: FileOrigin,
) => void;

/** Reads files and trees below a root, without following links in the tree and without blocking on fifos (SECURITY I4, B31). */
export class TreeReader {
  readonly #root: RootedDirectory;
  readonly #options: ReadOptions;
  readonly #onEntry: OnEntry;
  readonly #links = new Map<string, BytePath>();

  constructor(root: RootedDirectory, options: ReadOptions, onEntry: OnEntry) {
    this.#root = root;
    this.#options = options;
    this.#onEntry = onEntry;
  }

  /** One thing that is no directory, under the name `as`. @param path resolved, below the root */
  file(path: BytePath, as: BytePath): boolean {
    if (this.#excluded(path)) return false;
    const parent = this.#root.parent(path);
    if (!parent) throw notThere(path);
    try {
      return this.#one(parent.fd, toBytes(parent.name), statAt(parent.fd, toBytes(parent.name)), path, as);
    } finally {
      closeDescriptor(parent.fd);
    }
  }

  /** A directory's own entry under the name `as`, without what is in it. */
  directoryEntry(path: BytePath, as: BytePath): void {
    const fd = this.#openDirectory(path);
    try {
      this.#emitDirectory(fd, statDescriptor(fd), as);
    } finally {
      closeDescriptor(fd);
    }
  }

  /** Everything in a directory, under the prefix `as`. Gives the number of entries read. */
  contents(path: BytePath, as: BytePath): number {
    const fd = this.#openDirectory(path);
    try {
      return this.#walk(fd, path, as);
    } finally {
      closeDescriptor(fd);
    }
  }

  #openDirectory(path: BytePath): number {
    const fd = reading(path, () => this.#root.open(path, OPEN.readOnly | OPEN.directory));
    if (fd === undefined) throw notThere(path);
    return fd;
  }

  #walk(directory: number, path: BytePath, as: BytePath): number {
    let count = 0;
    const entries = readDirectory(directory).map(({ name }) => ({ name, text: fromBytes(name) }));
    entries.sort((a, b) => (a.text < b.text ? -1 : 1));
    for (const { name, text } of entries) {
      const below = joinBytes(path, text);
      const target = joinBytes(as, text);
      let status: FileStatus;
      try {
        status = statAt(directory, name);
      } catch (error) {
        if (isSystemError(error, 'ENOENT')) continue;
        throw error;
      }
      count += this.#item(directory, name, status, below, target);
    }
    return count;
  }

  #item(directory: number, name: Buffer, status: FileStatus, path: BytePath, as: BytePath): number {
    const excluded = this.#excluded(path);
    if ((status.mode & S_IF.mask) !== S_IF.directory)
      return !excluded && this.#one(directory, name, status, path, as) ? 1 : 0;
    if (excluded && !this.#options.ignore?.mayIncludeBelow(toText(path))) return 0;
    const flags = OPEN.readOnly | OPEN.directory | OPEN.noFollow;
    const fd = reading(path, () => openAt(directory, name, flags));
    try {
      if (!excluded) this.#emitDirectory(fd, status, as);
      return (excluded ? 0 : 1) + this.#walk(fd, path, as);
    } finally {
      closeDescriptor(fd);
    }
  }

  #excluded(path: BytePath): boolean {
    return this.#options.ignore?.excludes(toText(path)) ?? false;
  }

  #emitDirectory(fd: number, status: FileStatus, as: BytePath): void {
    if (as === '') return;
    const seen = this.#seen(status, () => fd);
    this.#onEntry({ ...this.#metadata(seen, as, true), kind: 'directory', xattrs: xattrsOf(fd) }, 0);
  }

  #one(directory: number, name: Buffer, status: FileStatus, path: BytePath, as: BytePath): boolean {
    const metadata = this.#metadata(
      this.#seen(status, () => namedPath(directory, name)),
      as,
      false,
    );
    const type = status.mode & S_IF.mask;
    if (type === S_IF.socket) {
      this.#options.onWarning?.(`skipping socket "${toText(path)}"`);
      return false;
    }
    const identity = `${status.device}:${status.inode}`;
    const first = status.links > 1 ? this.#links.get(identity) : undefined;
    if (first !== undefined) {
      this.#onEntry({ ...metadata, kind: 'hardlink', link: first }, 0);
      return true;
    }
    if (status.links > 1) this.#links.set(identity, as);
    if (type === S_IF.symlink) {
      const link = fromBytes(readLinkAt(directory, name));
      this.#onEntry({ ...metadata, kind: 'symlink', link, xattrs: xattrsAt(directory, name) }, 0);
    } else if (type === S_IF.regular) {
      const entry = { ...metadata, kind: 'file' } as const;
      const digest = this.#options.knownDigest?.(status, entry);
      const origin = digest && { status, digest, again: () => status };
      if (origin) this.#onEntry(entry, status.sizeBytes, undefined, origin);
      else this.#regular(directory, name, path, metadata);
    } else {
      const kind = type === S_IF.fifo ? 'fifo' : type === S_IF.character ? 'character' : 'block';
      const { deviceMajor, deviceMinor } = status;
      this.#onEntry({ ...metadata, kind, ...(kind === 'fifo' ? {} : { deviceMajor, deviceMinor }) }, 0);
    }
    return true;
  }

  #regular(directory: number, name: Buffer, path: BytePath, metadata: Omit<TreeEntry, 'kind'>): void {
    const flags = OPEN.readOnly | OPEN.noFollow | OPEN.nonBlock;
    const fd = reading(path, () => openAt(directory, name, flags));
    try {
      const status = statDescriptor(fd);
      this.#onEntry(
        { ...metadata, kind: 'file', xattrs: xattrsOf(fd) },
        status.sizeBytes,
        descriptorReader(fd),
        { status, again: () => statDescriptor(fd) },
      );
    } finally {
      closeDescriptor(fd);
    }
  }

  /** Owner and mode as the image knows them: an ordinary user's own files are root's, but where something else is noted. */
  #seen(status: FileStatus, target: () => XattrTarget): FileStatus {
    if (this.#options.owner || !isOrdinaryUser()) return status;
    const override = readOverride(target(), status);
    if (override) return { ...status, ...override };
    const isOwn = status.uid === process.geteuid?.();
    return isOwn ? { ...status, uid: 0, gid: 0 } : status;
  }

  #metadata(status: FileStatus, path: BytePath, isDirectory: boolean): Omit<TreeEntry, 'kind'> {
    const { owner, chmod, stripBits = 0, timestampNs } = this.#options;
    const bits = status.mode & 0o7777 & ~stripBits;
    const isLink = (status.mode & S_IF.mask) === S_IF.symlink;
    return {
      path,
      mode: chmod && !isLink ? chmod(bits, isDirectory) : bits,
      uid: owner?.uid ?? status.uid,
      gid: owner?.gid ?? status.gid,
      modifiedNs: timestampNs ?? status.modifiedNs,
    };
  }
}

/** @throws BuildError `missing-file` where the system refuses it */
function reading<T>(path: BytePath, open: () => T): T {
  try {
    return open();
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    const hint = 'Make it readable, or name it in .containerignore.';
    throw new BuildError('missing-file', `reading "${toText(path) || '.'}": ${systemReason(cause)}`, {
      ...(isSystemError(cause, 'EACCES') ? { hint } : {}),
      cause,
    });
  }
}

/** The attributes that a copy keeps: the security ones and the user's, not the kernel's or overlay's own. */
function isKept(name: string): boolean {
  return name.startsWith('user.')
    ? !name.startsWith('user.overlay.') && name !== OVERRIDE_XATTR
    : name === 'security.capability' || name === 'security.ima';
}

function xattrsOf(fd: number): TreeEntry['xattrs'] {
  return listXattrs(fd)
    .filter(isKept)
    .sort()
    .map((name) => [name, getXattr(fd, name) ?? new Uint8Array()] as const);
}

function xattrsAt(directory: number, name: Buffer): TreeEntry['xattrs'] {
  const path = namedPath(directory, name);
  return listXattrs(path)
    .filter(isKept)
    .sort()
    .map((key) => [key, getXattr(path, key) ?? new Uint8Array()] as const);
}

function namedPath(directory: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name]);
}

function notThere(path: BytePath): BuildError {
  return new BuildError('missing-file', `"${toText(path)}": no such file or directory`);
}
