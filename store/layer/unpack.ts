import { closeSync, writeSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import {
  chmodAt,
  chmodDescriptor,
  linkAt,
  mkdirAt,
  mknodAt,
  OPEN,
  openAt,
  setTimesAt,
  setTimesOfDescriptor,
  symlinkAt,
} from '../kernel/at.ts';
import { S_IF, statAtIfExists } from '../kernel/stat.ts';
import type { ApplyOptions } from './contract.ts';
import { EntryMetadata } from './entry-metadata.ts';
import { setOverride, usableMode } from './owner-override.ts';
import { removeAt } from './remove.ts';
import { bytesOf, cleanPath, type Place, RootedTree, shownPath } from './rooted.ts';
import { TAR_TYPE, type TarEntry } from './tar-entry.ts';
import type { TarReader } from './tar-reader.ts';
import { AUFS_LINKS, AUFS_PREFIX, isWhiteout, OPAQUE_NAME, WHITEOUT_PREFIX } from './whiteout.ts';
import { IMPLIED_MODE, Whiteouts } from './whiteouts.ts';

const DEFAULT_LIMIT_BYTES = 2 ** 40;
const DEFAULT_LIMIT_ENTRIES = 10_000_000;
const CREATE = OPEN.writeOnly | OPEN.create | OPEN.exclusive | OPEN.noFollow;
const READ_DIRECTORY = OPEN.readOnly | OPEN.directory | OPEN.noFollow;

/** {@link ApplyOptions} without what stays on the caller's side. */
export type UnpackSettings = Omit<ApplyOptions, 'signal'>;

/** Told what becomes of the entries' contents, to keep tar-split. */
export interface UnpackListener {
  /** A view of a file's content as it passes by. */
  content(bytes: Buffer): void;
  /** A view of a content that does not stay in the tree. */
  embedded(bytes: Buffer): void;
  /** After the content of a file that now lies in the tree, at this real path. */
  stored(entry: TarEntry, real: string): void;
  /** What is at this real path is about to be removed; `place` still holds it. */
  replaced(real: string, place: Place): void;
}

export interface UnpackCounts {
  contentBytes: number;
  readonly uids: Set<number>;
  readonly gids: Set<number>;
}

/** Unpacks the entries of an archive into a directory. One per archive. */
export class Unpacker implements Disposable {
  readonly #tree: RootedTree;
  readonly #settings: UnpackSettings;
  readonly #listener: UnpackListener;
  readonly #counts: UnpackCounts = { contentBytes: 0, uids: new Set(), gids: new Set() };
  /** Directories by real path, whose owner, mode and times are set when nothing is put into them any more. */
  readonly #directories = new Map<string, TarEntry>();
  readonly #metadata: EntryMetadata;
  readonly #whiteouts: Whiteouts;
  readonly #isOverlay: boolean;
  #entries = 0;
  #hasAufsLinks = false;

  constructor(root: string, settings: UnpackSettings, listener: UnpackListener) {
    this.#tree = new RootedTree(root, (place) => {
      chmodAt(place.directory, place.name, IMPLIED_MODE);
      this.#metadata.own(place);
    });
    this.#settings = settings;
    this.#listener = listener;
    this.#metadata = new EntryMetadata(settings);
    this.#whiteouts = new Whiteouts(this.#tree, settings, this.#metadata);
    this.#isOverlay = settings.whiteouts === 'overlay';
  }

  [Symbol.dispose](): void {
    this.#tree[Symbol.dispose]();
  }

  /** @throws StoreError `bad-layer`, `unsafe-path`, `truncated`, `too-large`, `system` */
  unpack(reader: TarReader): UnpackCounts {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      try {
        this.#entry(entry, reader);
      } catch (error) {
        throw describe(error, entry);
      }
    }
    this.#finishDirectories();
    if (this.#hasAufsLinks) removeAt(this.#tree.root, AUFS_LINKS);
    return this.#counts;
  }

  #entry(entry: TarEntry, reader: TarReader): void {
    this.#count(entry);
    const path = cleanPath(entry.name);
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (isAufsLink(path)) this.#hasAufsLinks = true;
    else if (path.startsWith(AUFS_PREFIX) && path !== OPAQUE_NAME) return;
    if (path === '') this.#rootEntry(entry);
    else if (name.startsWith(WHITEOUT_PREFIX) && !isAufsLink(path)) this.#whiteouts.apply(path, name);
    else if (entry.type === TAR_TYPE.hardLink) this.#hardLink(entry, path);
    else this.#make(entry, path, reader);
  }

  #make(entry: TarEntry, path: string, reader: TarReader): void {
    const place = this.#tree.place(path, IMPLIED_MODE);
    const real = this.#whiteouts.remember(place);
    if (entry.type === TAR_TYPE.file) this.#file(entry, real, place, reader);
    else if (entry.type === TAR_TYPE.directory) this.#directory(entry, real, place);
    else if (entry.type === TAR_TYPE.symlink) this.#symlink(entry, real, place);
    else this.#node(entry, real, place);
  }

  #count(entry: TarEntry): void {
    this.#entries += 1;
    this.#counts.contentBytes += entry.sizeBytes;
    this.#counts.uids.add(entry.uid);
    this.#counts.gids.add(entry.gid);
    const { limitBytes = DEFAULT_LIMIT_BYTES, limitEntries = DEFAULT_LIMIT_ENTRIES } = this.#settings;
    if (this.#counts.contentBytes > limitBytes)
      throw new StoreError('too-large', `the archive holds more than the limit of ${limitBytes} bytes`);
    if (this.#entries > limitEntries)
      throw new StoreError('too-large', `the archive holds more than the limit of ${limitEntries} entries`);
  }

  #rootEntry(entry: TarEntry): void {
    if (entry.type !== TAR_TYPE.directory)
      throw new StoreError('unsafe-path', 'the archive replaces the root directory by something else');
    this.#directories.set('', entry);
  }

  #file(entry: TarEntry, real: string, place: Place, reader: TarReader): void {
    const fd = this.#creating(real, place, () =>
      openAt(place.directory, place.name, CREATE, usableMode(S_IF.regular | entry.mode) & 0o777),
    );
    try {
      for (let view = reader.content(); view.length > 0; view = reader.content()) {
        if (isAufsLink(real)) this.#listener.embedded(view);
        else this.#listener.content(view);
        for (let at = 0; at < view.length; ) at += writeSync(fd, view, at, view.length - at);
      }
      this.#metadata.setOwner(fd, entry, S_IF.regular);
      chmodDescriptor(fd, usableMode(S_IF.regular | entry.mode) & 0o7777);
      this.#metadata.setXattrs(fd, entry);
      setTimesOfDescriptor(fd, entry.modifiedNs, entry.modifiedNs);
    } finally {
      closeSync(fd);
    }
    if (!isAufsLink(real)) this.#listener.stored(entry, real);
  }

  #directory(entry: TarEntry, real: string, place: Place): void {
    const old = statAtIfExists(place.directory, place.name);
    if (old && (old.mode & S_IF.mask) !== S_IF.directory) this.#clear(real, place);
    if (!old || (old.mode & S_IF.mask) !== S_IF.directory) {
      mkdirAt(place.directory, place.name, 0o700);
      // The archive deletes and makes the directory: nothing of the layers below shines through.
      if (this.#isOverlay && old && isWhiteout(old)) this.#whiteouts.makeOpaque(place.directory, place.name);
    }
    this.#directories.set(real, entry);
  }

  #symlink(entry: TarEntry, real: string, place: Place): void {
    this.#creating(real, place, () => symlinkAt(bytesOf(entry.linkName), place.directory, place.name));
    this.#metadata.setOwnerAt(place, entry);
    this.#metadata.setXattrsAt(place, entry);
    setTimesAt(place.directory, place.name, entry.modifiedNs, entry.modifiedNs);
  }

  #node(entry: TarEntry, real: string, place: Place): void {
    const type = NODE_TYPES[entry.type];
    if (type === undefined)
      throw new StoreError('bad-layer', `unknown entry type ${JSON.stringify(entry.type)}`);
    if (type !== S_IF.fifo && this.#settings.inUserNamespace) return;
    const { deviceMajor, deviceMinor } = entry;
    const mode = type | entry.mode;
    try {
      this.#creating(real, place, () => mknodAt(place.directory, place.name, mode, deviceMajor, deviceMinor));
    } catch (error) {
      if (!isSystemError(error, 'EPERM') || !this.#settings.ignoreChownErrors) throw error;
      this.#placeholder(entry, place, mode);
      return;
    }
    this.#metadata.setOwnerAt(place, entry, mode);
    chmodAt(place.directory, place.name, entry.mode);
    this.#metadata.setXattrsAt(place, entry);
    setTimesAt(place.directory, place.name, entry.modifiedNs, entry.modifiedNs);
  }

  /** A device that cannot be made becomes an empty file whose attribute says what it is. */
  #placeholder(entry: TarEntry, place: Place, mode: number): void {
    const fd = openAt(place.directory, place.name, CREATE, 0o600);
    try {
      const { uid, gid, deviceMajor, deviceMinor } = entry;
      setOverride(fd, { uid, gid, mode, deviceMajor, deviceMinor });
      setTimesOfDescriptor(fd, entry.modifiedNs, entry.modifiedNs);
    } finally {
      closeSync(fd);
    }
  }

  /** The target's name counts from the root of the archive; neither it nor the new name is followed at its end. */
  #hardLink(entry: TarEntry, path: string): void {
    const target = cleanPath(entry.linkName);
    const from = this.#heldPlace(target, entry);
    try {
      const place = this.#tree.place(path, IMPLIED_MODE);
      const source = statAtIfExists(from.directory, from.name);
      if (!source) throw missingTarget(entry);
      const old = statAtIfExists(place.directory, place.name);
      if (old?.inode === source.inode && old.device === source.device) return;
      const real = this.#whiteouts.remember(place);
      this.#creating(real, place, () => linkAt(from.directory, from.name, place.directory, place.name));
      this.#finishLink(entry, place, source.mode);
    } finally {
      closeSync(from.directory);
    }
  }

  /** The link's header counts for the file, as with containers/storage, but never for what a symlink leads to. */
  #finishLink(entry: TarEntry, place: Place, mode: number): void {
    if ((mode & S_IF.mask) === S_IF.symlink) return;
    this.#metadata.setOwnerAt(place, entry, (mode & S_IF.mask) | entry.mode);
    chmodAt(place.directory, place.name, entry.mode);
    this.#metadata.setXattrsAt(place, entry);
    setTimesAt(place.directory, place.name, entry.modifiedNs, entry.modifiedNs);
  }

  #heldPlace(path: string, entry: TarEntry): Place {
    if (path === '') throw new StoreError('bad-layer', 'a hard link to the root directory');
    try {
      const place = this.#tree.place(path);
      return { directory: openAt(place.directory, '.', OPEN.path | OPEN.directory), name: place.name };
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw error;
      throw missingTarget(entry);
    }
  }

  /** Makes something; what is in its place goes first. */
  #creating<Result>(real: string, place: Place, make: () => Result): Result {
    try {
      return make();
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error;
    }
    this.#clear(real, place);
    return make();
  }

  #clear(real: string, place: Place): void {
    this.#listener.replaced(real, place);
    removeAt(place.directory, place.name);
  }

  /** The deepest first, since a parent's mode may shut its children off. */
  #finishDirectories(): void {
    for (const path of [...this.#directories.keys()].sort().reverse()) {
      const entry = this.#directories.get(path)!;
      try {
        this.#finishDirectory(path, entry);
      } catch (error) {
        // A later entry of the archive put something else there.
        if (!isSystemError(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw describe(error, entry);
      }
    }
  }

  #finishDirectory(path: string, entry: TarEntry): void {
    const place = path === '' ? { directory: this.#tree.root, name: '.' } : this.#tree.place(path);
    const fd = openAt(place.directory, place.name, READ_DIRECTORY);
    try {
      this.#metadata.setOwner(fd, entry, S_IF.directory);
      this.#metadata.setXattrs(fd, entry);
      setTimesOfDescriptor(fd, entry.modifiedNs, entry.modifiedNs);
      chmodDescriptor(fd, usableMode(S_IF.directory | entry.mode) & 0o7777);
    } finally {
      closeSync(fd);
    }
  }
}

const isAufsLink = (path: string) => path === AUFS_LINKS || path.startsWith(`${AUFS_LINKS}/`);

const NODE_TYPES: Readonly<Record<string, number>> = {
  [TAR_TYPE.character]: S_IF.character,
  [TAR_TYPE.block]: S_IF.block,
  [TAR_TYPE.fifo]: S_IF.fifo,
};

function missingTarget(entry: TarEntry): StoreError {
  const isAufs = isAufsLink(cleanPath(entry.linkName));
  return new StoreError(
    'bad-layer',
    isAufs ? 'invalid aufs hardlink' : `the target "${shownPath(entry.linkName)}" does not exist`,
  );
}

/** Says which entry it was; passes other errors through. */
function describe(error: unknown, entry: TarEntry): unknown {
  const name = shownPath(entry.name.slice(0, 4096));
  if (error instanceof StoreError) {
    if (error.facts.entry !== undefined || error.code === 'truncated' || error.code === 'too-large')
      return error;
    const { hint, facts } = error;
    return new StoreError(error.code, `cannot unpack "${name}": ${error.message}`, {
      hint,
      facts: { ...facts, entry: name },
    });
  }
  if (!isSystemError(error)) return error;
  return new StoreError('system', `cannot unpack "${name}": ${error.message}`, {
    facts: { entry: name, errno: error.code, syscall: error.syscall },
  });
}
