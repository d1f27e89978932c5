import { chmodSync, closeSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { isSystemError, SlipwayError, systemReason } from '../../errors.ts';
import {
  chmodDescriptor,
  chownAt,
  closeDescriptor,
  linkAt,
  mkdirAt,
  mknodAt,
  OPEN,
  openAt,
  openAt2,
  RESOLVE,
  readDirectory,
  S_IF,
  setTimesAt,
  setTimesOfDescriptor,
  setXattr,
  statAtIfExists,
  statDescriptor,
  symlinkAt,
  unlinkAt,
} from '../../store/kernel/index.ts';
import { giveOwner, usableMode } from '../../store/layer/owner-override.ts';
import { BuildError } from '../error.ts';
import { giveAt, OpenDirectories, overridden } from './open-directories.ts';
import type { Owner } from './owner.ts';
import { type BytePath, RootedDirectory, toBytes, toText } from './rooted.ts';

/** What is written at one place. Ids are the host's. */
export interface TreeEntry {
  /** Below the writer's directory, without leading slash. */
  readonly path: BytePath;
  readonly kind: 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'character' | 'block';
  /** Permission bits, 07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedNs: bigint;
  /** Target of a symlink as it stands, or the path below the writer's directory of a hard link's file. */
  readonly link?: BytePath;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
  readonly xattrs?: readonly (readonly [string, Uint8Array])[];
}

/** The content of a file: fills a buffer and says how far, 0 at the end. */
export interface ContentReader {
  (buffer: Buffer): number;
  /** Passes over the zeros of a sparse file that come next, and says how many. Absent: everything is read. */
  hole?(): number;
}

export interface TreeWriterOptions {
  /** Owner of directories made on the way, in host ids. */
  readonly directoryOwner: Owner;
  /** In a user namespace devices cannot be made. */
  readonly skipDevices?: boolean;
}

const CHUNK_BYTES = 1 << 18;

/**
 * Writes entries below a directory of a root, never outside the root: directories are opened once with
 * openat2(RESOLVE_IN_ROOT) and everything is done relative to their descriptors, the last component without following
 * links (SECURITY I1 to I3, B25). What stands in the way is replaced, except that directories are merged.
 */
export class TreeWriter implements Disposable {
  readonly #base: BytePath;
  readonly #options: TreeWriterOptions;
  readonly #outside: OpenDirectories;
  #inside: { readonly root: RootedDirectory; readonly directories: OpenDirectories } | undefined;
  readonly #directories = new Map<BytePath, { mode: number; modifiedNs?: bigint }>();
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES);

  /** @param base the directory below `root` that entry paths are relative to, its links resolved; made when missing */
  constructor(root: RootedDirectory, base: BytePath, options: TreeWriterOptions) {
    this.#base = base;
    this.#options = options;
    this.#outside = new OpenDirectories(root, options.directoryOwner);
  }

  [Symbol.dispose](): void {
    this.#outside[Symbol.dispose]();
    this.#inside?.directories[Symbol.dispose]();
    this.#inside?.root[Symbol.dispose]();
  }

  /** Makes the base directory and those above it, owned as the options say, mode 0755. */
  makeBase(): void {
    this.#below();
  }

  /** The entry with an empty path is the base directory itself. */
  put(entry: TreeEntry, content?: ContentReader): void {
    const slash = entry.path.lastIndexOf('/');
    const directory = this.#directory(slash < 0 ? '' : entry.path.slice(0, slash));
    const name = toBytes(entry.path.slice(slash + 1) || '.');
    try {
      this.#make(directory, name, entry, content);
    } catch (cause) {
      if (cause instanceof BuildError) throw cause;
      const { message, hint } =
        cause instanceof SlipwayError ? cause : { message: systemReason(cause as Error), hint: undefined };
      const path = toText([this.#base, entry.path].filter(Boolean).join('/'));
      throw new BuildError('unsafe-path', `storing "/${path}": ${message}`, {
        cause,
        ...(hint ? { hint } : {}),
      });
    }
  }

  /** Another name, at `path`, of a file in an open directory. Nothing is replaced. */
  link(path: BytePath, from: number, name: Buffer): void {
    const slash = path.lastIndexOf('/');
    const directory = this.#directory(slash < 0 ? '' : path.slice(0, slash));
    linkAt(from, name, directory, toBytes(path.slice(slash + 1)));
  }

  /**
   * Sets the modes and times of directories, which their contents' arrival changed. Call once, after the last entry.
   * @param madeNs time of directories that no entry told of; absent: when they were made
   */
  finish(madeNs?: bigint): void {
    if (madeNs !== undefined) {
      this.#outside.dateMade(madeNs);
      this.#inside?.directories.dateMade(madeNs);
    }
    const { root } = this.#below();
    for (const [path, { mode, modifiedNs }] of [...this.#directories].reverse()) {
      const fd = root.open(path, OPEN.readOnly | OPEN.directory);
      if (fd === undefined) continue;
      try {
        chmodDescriptor(fd, mode);
        if (modifiedNs !== undefined) setTimesOfDescriptor(fd, modifiedNs, modifiedNs);
      } finally {
        closeDescriptor(fd);
      }
    }
    this.#directories.clear();
  }

  /** The base directory as a root of its own: links below it lead nowhere else, as in the originals. */
  #below() {
    if (this.#inside) return this.#inside;
    const root = new RootedDirectory(`/proc/self/fd/${this.#outside.open(this.#base)}`);
    this.#inside = { root, directories: new OpenDirectories(root, this.#options.directoryOwner, this.#base) };
    return this.#inside;
  }

  /** An open descriptor of a directory below the base, made with everything above it where missing. */
  #directory(path: BytePath): number {
    return this.#below().directories.open(path);
  }

  #make(directory: number, name: Buffer, entry: TreeEntry, content: ContentReader | undefined): void {
    switch (entry.kind) {
      case 'directory':
        this.#makeDirectory(directory, name, entry);
        return;
      case 'file':
        this.#makeFile(directory, name, entry, content);
        return;
      case 'hardlink':
        this.#makeHardLink(directory, name, entry);
        changeLinked(directory, name, entry);
        return;
      case 'symlink':
        replacing(directory, name, () => symlinkAt(toBytes(entry.link ?? ''), directory, name));
        break;
      default:
        if (entry.kind !== 'fifo' && this.#options.skipDevices) return;
        replacing(directory, name, () => makeNode(directory, name, entry));
    }
    giveAt(directory, name, { ...entry, mode: NODE_BITS[entry.kind] | entry.mode });
    setXattrsAt(directory, name, entry);
    setTimesAt(directory, name, entry.modifiedNs, entry.modifiedNs);
  }

  #makeDirectory(directory: number, name: Buffer, entry: TreeEntry): void {
    const status = statAtIfExists(directory, name);
    if (status && (status.mode & S_IF.mask) !== S_IF.directory) {
      unlinkAt(directory, name);
      this.#below().directories.forget(entry.path);
    }
    if (!status || (status.mode & S_IF.mask) !== S_IF.directory) mkdirAt(directory, name, 0o700);
    giveAt(directory, name, { ...entry, mode: S_IF.directory | entry.mode });
    setXattrsAt(directory, name, entry);
    const mode = usableMode(S_IF.directory | entry.mode) & 0o7777;
    this.#directories.set(entry.path, { mode, modifiedNs: entry.modifiedNs });
  }

  #makeFile(directory: number, name: Buffer, entry: TreeEntry, content: ContentReader | undefined): void {
    const flags = OPEN.writeOnly | OPEN.create | OPEN.exclusive | OPEN.noFollow;
    const fd = replacing(directory, name, () => openAt(directory, name, flags, 0o600)) as number;
    try {
      if (content) this.#write(fd, content);
      const mode = S_IF.regular | entry.mode;
      giveOwner(() => chownAt(directory, name, entry.uid, entry.gid), fd, overridden({ ...entry, mode }));
      chmodDescriptor(fd, usableMode(mode) & 0o7777);
      for (const [key, value] of entry.xattrs ?? []) setXattr(fd, key, Buffer.from(value));
      setTimesOfDescriptor(fd, entry.modifiedNs, entry.modifiedNs);
    } catch (error) {
      // On a full disk the container could not even be removed for want of the space that half a file takes.
      unlinkAt(directory, name);
      throw error;
    } finally {
      closeSync(fd);
    }
  }

  #write(fd: number, content: ContentReader): void {
    let at = 0;
    let end = 0;
    for (;;) {
      at += content.hole?.() ?? 0;
      const count = content(this.#buffer);
      if (count === 0) break;
      for (let written = 0; written < count; )
        written += writeSync(fd, this.#buffer, written, count - written, at + written);
      at += count;
      end = at;
    }
    // A few bytes of an archive may stand for more zeros than the disk holds.
    if (at > end) ftruncateSync(fd, at);
  }

  #makeHardLink(directory: number, name: Buffer, entry: TreeEntry): void {
    const { root } = this.#below();
    const target = entry.link ?? '';
    const parent = root.parent(root.resolve(target));
    if (!parent)
      throw new BuildError('missing-file', `hard link to "/${toText(target)}": no such file or directory`);
    try {
      const source = toBytes(parent.name);
      replacing(directory, name, () => linkAt(parent.fd, source, directory, name));
    } finally {
      closeDescriptor(parent.fd);
    }
  }
}

/** Runs an exclusive creation; what is there is removed first, a directory with everything in it. */
function replacing<T>(directory: number, name: Buffer, create: () => T): T {
  try {
    return create();
  } catch (error) {
    if (!isSystemError(error, 'EEXIST')) throw error;
    removeAt(directory, name);
    return create();
  }
}

/** Removes a file or a whole tree, by descriptors, without following links. */
export function removeAt(directory: number, name: Buffer): void {
  const status = statAtIfExists(directory, name);
  if (!status) return;
  if ((status.mode & S_IF.mask) !== S_IF.directory) {
    unlinkAt(directory, name);
    return;
  }
  const fd = openAt(directory, name, OPEN.readOnly | OPEN.directory | OPEN.noFollow);
  try {
    for (const child of readDirectory(fd)) removeAt(fd, child.name);
  } finally {
    closeDescriptor(fd);
  }
  unlinkAt(directory, name, true);
}

/**
 * The owner, mode and time of a hard link's own entry, which the file takes on. A link's target is not touched
 * (SECURITY T04), and an owner that is right already is not set again, which would take capabilities away.
 */
function changeLinked(directory: number, name: Buffer, entry: TreeEntry): void {
  const fd = openAt2(directory, name, OPEN.path | OPEN.noFollow, RESOLVE.beneath | RESOLVE.noSymlinks);
  try {
    const status = statDescriptor(fd);
    const type = status.mode & S_IF.mask;
    const mode = type | entry.mode;
    if (status.uid !== entry.uid || status.gid !== entry.gid) giveAt(directory, name, { ...entry, mode });
    if (type !== S_IF.symlink) chmodPath(fd, usableMode(mode) & 0o7777);
  } finally {
    closeDescriptor(fd);
  }
  setXattrsAt(directory, name, entry);
  setTimesAt(directory, name, entry.modifiedNs, entry.modifiedNs);
}

const NODE_BITS = {
  file: S_IF.regular,
  hardlink: S_IF.regular,
  directory: S_IF.directory,
  symlink: S_IF.symlink,
  fifo: S_IF.fifo,
  character: S_IF.character,
  block: S_IF.block,
} as const;

const NODE_TYPES = { fifo: S_IF.fifo, character: S_IF.character, block: S_IF.block } as const;

function makeNode(directory: number, name: Buffer, entry: TreeEntry): void {
  const type = NODE_TYPES[entry.kind as keyof typeof NODE_TYPES];
  mknodAt(directory, name, type | 0o600, entry.deviceMajor, entry.deviceMinor);
  if ((entry.mode & 0o7777) === 0o600) return;
  const fd = openAt2(directory, name, OPEN.path | OPEN.noFollow, RESOLVE.beneath | RESOLVE.noSymlinks);
  try {
    chmodPath(fd, entry.mode);
  } finally {
    closeDescriptor(fd);
  }
}

/** chmod of a special file by its O_PATH descriptor: opening a device or fifo would have effects. */
function chmodPath(fd: number, mode: number): void {
  chmodSync(`/proc/self/fd/${fd}`, mode);
}

function setXattrsAt(directory: number, name: Buffer, entry: TreeEntry): void {
  if (!entry.xattrs?.length) return;
  const prefix = Buffer.from(`/proc/self/fd/${directory}/`);
  for (const [key, value] of entry.xattrs) setXattr(Buffer.concat([prefix, name]), key, Buffer.from(value));
}

/** A reader of an open file's content. */
export function descriptorReader(fd: number): ContentReader {
  return (buffer) => readSync(fd, buffer, 0, buffer.length, null);
}
