import { closeSync, readSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { AT_FDCWD, OPEN, openAt, readLinkAt } from '../kernel/at.ts';
import {
  type DirectoryEntry,
  type FileStatus,
  readDirectory,
  S_IF,
  statAt,
  statDescriptor,
} from '../kernel/stat.ts';
import { getXattr, listXattrs } from '../kernel/xattr.ts';
import type { PackOptions } from './contract.ts';
import { toContainer } from './id-map.ts';
import { LowerDirectories } from './lower.ts';
import { OVERRIDE_XATTR, readOverride } from './owner-override.ts';
import { bytesOf, shownPath } from './rooted.ts';
import { PAX_XATTR, paddingOf, TAR_TYPE, type TarEntry } from './tar-entry.ts';
import { END_OF_ARCHIVE_BYTES, encodeTarHeader } from './tar-header.ts';
import { UnchangedDirectories } from './unchanged.ts';
import { isWhiteout, OPAQUE_NAME, WHITEOUT_PREFIX } from './whiteout.ts';
import { WINDOWS_ROOTS, windowsEntry, withAttributes } from './windows.ts';

const LISTING = OPEN.readOnly | OPEN.directory | OPEN.noFollow;
const READING = OPEN.readOnly | OPEN.noFollow | OPEN.nonBlock;
const NS = 1_000_000_000n;
const ZEROS = Buffer.alloc(END_OF_ARCHIVE_BYTES);

/** {@link PackOptions} without what stays on the caller's side. */
export type PackSettings = Omit<PackOptions, 'signal'>;

/** Where the archive goes. */
export interface PackSink {
  /** Headers, padding and the end marker. */
  raw(bytes: Uint8Array): void;
  /** Memory for 1 to `limit` bytes of content, to be filled from its start. */
  room(limit: number): Buffer;
  /** The room's first bytes are content. */
  filled(room: Buffer, length: number): void;
  /** After an entry's header and content. */
  entryEnd(name: string, sizeBytes: number): void;
}

export interface PackCounts {
  contentBytes: number;
  readonly uids: Set<number>;
  readonly gids: Set<number>;
  /** Directories that stayed out since they change nothing, by their paths. */
  readonly unchanged: string[];
  /** Paths of what has POSIX access control lists, which changesets do not carry. */
  readonly withAccessLists: string[];
}

/**
 * Writes a directory as a layer changeset, in the order and with the headers that containers/storage gives it: names
 * sorted by their bytes, parents first, whole seconds, no user names.
 */
export class TreePacker {
  readonly #settings: PackSettings;
  readonly #sink: PackSink;
  readonly #counts: PackCounts = {
    contentBytes: 0,
    uids: new Set(),
    gids: new Set(),
    unchanged: [],
    withAccessLists: [],
  };
  readonly #excluded: ReadonlySet<string>;
  /** First names of files that have several, by device and inode. */
  readonly #linked = new Map<number | string, string>();
  #device: number | undefined;
  readonly #lower: LowerDirectories | undefined;
  readonly #overlayPrefix: string;
  readonly #unchanged: UnchangedDirectories | undefined;

  constructor(settings: PackSettings, sink: PackSink) {
    this.#settings = settings;
    this.#sink = sink;
    this.#excluded = new Set(settings.exclude?.map((path) => latin1Of(path.replace(/^\/+|\/+$/g, ''))));
    this.#overlayPrefix = `${settings.overlayXattrPrefix ?? 'trusted.'}overlay.`;
    if (settings.lowerDirectories) this.#lower = new LowerDirectories(settings.lowerDirectories);
    if (settings.omitUnchanged && this.#lower)
      this.#unchanged = new UnchangedDirectories(this.#lower, this.#overlayPrefix);
  }

  /**
   * Packs in steps, between which the sink may be emptied: a step is a header, or as much content as has room.
   * @throws StoreError `bad-layer`, `unsupported`, `system`
   */
  *pack(root: string): Generator<void, PackCounts> {
    const fd = openAt(AT_FDCWD, root, OPEN.readOnly | OPEN.directory);
    try {
      this.#windowsRoots();
      yield* this.#children(fd, '', readDirectory(fd));
    } finally {
      closeSync(fd);
      this.#lower?.[Symbol.dispose]();
    }
    this.#sink.raw(ZEROS);
    return this.#counts;
  }

  #windowsRoots(): void {
    const { windows } = this.#settings;
    if (!windows) return;
    const modifiedNs = this.#time(BigInt(windows.madeAtSeconds) * NS);
    const root = { ...emptyEntry(), type: TAR_TYPE.directory, mode: 0o755, modifiedNs };
    for (const name of WINDOWS_ROOTS) this.#write(withAttributes({ ...root, name }));
  }

  *#children(fd: number, prefix: string, entries: DirectoryEntry[]): Generator<void, void> {
    // In latin1 the order of strings is that of their bytes.
    const named = entries.map((entry) => ({ entry, text: entry.name.toString('latin1') }));
    for (const { entry, text } of named.sort((a, b) => (a.text < b.text ? -1 : 1))) {
      yield;
      const path = prefix + text;
      if (this.#excluded.has(path)) continue;
      try {
        if (entry.type === S_IF.regular) yield* this.#regular(fd, entry.name, path);
        else if (entry.type === S_IF.directory) yield* this.#directory(fd, entry.name, path);
        else if (entry.type !== S_IF.socket) this.#special(fd, entry.name, path);
      } catch (error) {
        throw describe(error, path);
      }
    }
  }

  *#regular(directory: number, name: Buffer, path: string): Generator<void, void> {
    const fd = openAt(directory, name, READING);
    try {
      const status = statDescriptor(fd);
      if ((status.mode & S_IF.mask) !== S_IF.regular) throw changed();
      const entry = this.#headerOf(fd, path, status);
      if (entry.type === TAR_TYPE.file) entry.sizeBytes = status.sizeBytes;
      this.#addXattrs(entry, fd);
      const isLink = this.#isLink(entry, status);
      if (isLink) this.#emit(entry);
      else yield* this.#emitFile(entry, fd);
      this.#counts.contentBytes += entry.sizeBytes;
    } finally {
      closeSync(fd);
    }
  }

  *#content(fd: number, sizeBytes: number): Generator<void, void> {
    for (let left = sizeBytes; left > 0; ) {
      yield;
      const room = this.#sink.room(left);
      const count = readSync(fd, room, 0, room.length, null);
      if (count === 0) throw changed();
      this.#sink.filled(room, count);
      left -= count;
    }
  }

  *#directory(parent: number, name: Buffer, path: string): Generator<void, void> {
    const fd = openAt(parent, name, LISTING);
    try {
      const entries = readDirectory(fd);
      if (this.#unchanged?.has(path, fd, entries)) {
        this.#counts.unchanged.push(bytesOf(path).toString());
        return;
      }
      const entry = this.#headerOf(fd, `${path}/`, statDescriptor(fd));
      const isOpaque = this.#addXattrs(entry, fd);
      this.#emit(entry);
      if (isOpaque && (!this.#lower || this.#lower.shows(path)))
        this.#emit({
          ...emptyEntry(),
          name: `${path}/${OPAQUE_NAME}`,
          mode: entry.mode & 0o777,
          uid: entry.uid,
          gid: entry.gid,
        });
      yield* this.#children(fd, `${path}/`, entries);
    } finally {
      closeSync(fd);
    }
  }

  #special(directory: number, name: Buffer, path: string): void {
    const status = statAt(directory, name);
    const entry = this.#header(path, status);
    if (this.#settings.whiteouts === 'overlay' && isWhiteout(status)) {
      const base = path.lastIndexOf('/') + 1;
      entry.name = `${path.slice(0, base)}${WHITEOUT_PREFIX}${path.slice(base)}`;
      entry.type = TAR_TYPE.file;
      entry.mode = 0;
    } else {
      if (entry.type === TAR_TYPE.symlink) entry.linkName = readLinkAt(directory, name).toString('latin1');
      this.#isLink(entry, status);
    }
    this.#emit(entry);
  }

  #emit(entry: TarEntry): void {
    this.#write(this.#shown(entry));
  }

  *#emitFile(entry: TarEntry, fd: number): Generator<void, void> {
    const shown = this.#shown(entry);
    this.#start(shown);
    yield* this.#content(fd, entry.sizeBytes);
    this.#end(shown);
  }

  #shown(entry: TarEntry): TarEntry {
    return this.#settings.windows ? windowsEntry(entry) : entry;
  }

  #write(entry: TarEntry): void {
    this.#start(entry);
    this.#end(entry);
  }

  #start(entry: TarEntry): void {
    this.#counts.uids.add(entry.uid);
    this.#counts.gids.add(entry.gid);
    this.#sink.raw(encodeTarHeader(entry));
  }

  #end(entry: TarEntry): void {
    this.#sink.entryEnd(entry.name, entry.sizeBytes);
    const padding = paddingOf(entry.sizeBytes);
    if (padding > 0) this.#sink.raw(ZEROS.subarray(0, padding));
  }

  /** True, and the entry becomes a hard link, for another name of a file that is already in the archive. */
  #isLink(entry: TarEntry, status: FileStatus): boolean {
    if (status.links < 2) return false;
    // Most files are on one device.
    this.#device ??= status.device;
    const key = status.device === this.#device ? status.inode : `${status.device}:${status.inode}`;
    const first = this.#linked.get(key);
    if (first === undefined) {
      this.#linked.set(key, entry.name);
      return false;
    }
    entry.type = TAR_TYPE.hardLink;
    entry.linkName = first;
    entry.sizeBytes = 0;
    return true;
  }

  #headerOf(fd: number, name: string, status: FileStatus): TarEntry {
    const override = this.#settings.ownerOverrides ? readOverride(fd, status) : undefined;
    if (!override) return this.#header(name, status);
    // The ids of an override are the container's already.
    return this.#header(name, { ...status, ...override }, NO_MAPPINGS);
  }

  #header(name: string, status: FileStatus, idMappings = this.#settings.idMappings): TarEntry {
    const type = TYPES[status.mode & S_IF.mask];
    if (type === undefined) throw changed();
    const isDevice = type === TAR_TYPE.character || type === TAR_TYPE.block;
    return {
      ...emptyEntry(),
      name,
      type,
      mode: status.mode & 0o7777,
      uid: toContainer(idMappings?.uids, status.uid, 'uid'),
      gid: toContainer(idMappings?.gids, status.gid, 'gid'),
      modifiedNs: this.#time(status.modifiedNs),
      deviceMajor: isDevice ? status.deviceMajor : 0,
      deviceMinor: isDevice ? status.deviceMinor : 0,
    };
  }

  #time(modifiedNs: bigint): bigint {
    const { timestamp } = this.#settings;
    const wanted = timestamp && BigInt(timestamp.seconds) * NS;
    const ns =
      wanted !== undefined && (timestamp?.mode === 'set' || modifiedNs > wanted) ? wanted : modifiedNs;
    return ns - (((ns % NS) + NS) % NS);
  }

  /**
   * Takes over the attributes that belong to an image. True for an opaque directory.
   * @throws StoreError `unsupported` where the overlay keeps part of the file in a lower layer
   */
  #addXattrs(entry: TarEntry, fd: number): boolean {
    let isOpaque = false;
    for (const name of listXattrs(fd)) {
      if (this.#settings.whiteouts === 'overlay' && name.startsWith(this.#overlayPrefix)) {
        const kind = name.slice(this.#overlayPrefix.length);
        if (kind === 'opaque') isOpaque = getXattr(fd, name)?.toString('latin1') === 'y';
        else if (kind === 'redirect' || kind === 'metacopy')
          throw new StoreError('unsupported', `a part of it lies in a lower layer (overlay ${kind})`, {
            facts: { overlay: kind },
          });
      }
      if (name.startsWith(ACCESS_LISTS) && this.#counts.withAccessLists.at(-1) !== entry.name)
        this.#counts.withAccessLists.push(entry.name);
      if (!this.#isPacked(name)) continue;
      const value = getXattr(fd, name);
      if (value) entry.pax.set(PAX_XATTR + latin1Of(name), value.toString('latin1'));
    }
    return isOpaque;
  }

  #isPacked(name: string): boolean {
    if (name === 'security.capability' || name === 'security.ima') return true;
    if (!name.startsWith('user.') || name.startsWith('user.overlay.')) return false;
    return name !== OVERRIDE_XATTR || !this.#settings.ownerOverrides;
  }
}

const ACCESS_LISTS = 'system.posix_acl_';

const NO_MAPPINGS: NonNullable<PackSettings['idMappings']> = { uids: [], gids: [] };

const TYPES: Readonly<Record<number, string>> = {
  [S_IF.regular]: TAR_TYPE.file,
  [S_IF.directory]: TAR_TYPE.directory,
  [S_IF.symlink]: TAR_TYPE.symlink,
  [S_IF.character]: TAR_TYPE.character,
  [S_IF.block]: TAR_TYPE.block,
  [S_IF.fifo]: TAR_TYPE.fifo,
};

const latin1Of = (text: string) => Buffer.from(text).toString('latin1');

function emptyEntry(): TarEntry {
  return {
    name: '',
    linkName: '',
    type: TAR_TYPE.file,
    mode: 0,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
    sizeBytes: 0,
    modifiedNs: 0n,
    deviceMajor: 0,
    deviceMinor: 0,
    pax: new Map(),
  };
}

function changed(): StoreError {
  return new StoreError('bad-layer', 'it changed while it was read');
}

function describe(error: unknown, path: string): unknown {
  const name = shownPath(path);
  if (error instanceof StoreError) {
    if (error.facts.entry !== undefined) return error;
    const { hint, facts } = error;
    return new StoreError(error.code, `cannot pack "${name}": ${error.message}`, {
      hint,
      facts: { ...facts, entry: name },
    });
  }
  if (!isSystemError(error)) return error;
  return new StoreError('system', `cannot pack "${name}": ${error.message}`, {
    facts: { entry: name, errno: error.code, syscall: error.syscall },
  });
}
