import { closeSync, writeSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import {
  chmodAt,
  chmodDescriptor,
  chownAt,
  chownDescriptor,
  linkAt,
  mkdirAt,
  mknodAt,
  OPEN,
  openAt,
  setTimesAt,
  setTimesOfDescriptor,
  symlinkAt,
} from '../kernel/at.ts';
import { readDirectory, S_IF, statAt, statAtIfExists } from '../kernel/stat.ts';
import { setXattr } from '../kernel/xattr.ts';
import type { ApplyOptions } from './contract.ts';
import { toHost } from './id-map.ts';
import { OVERRIDE_XATTR, setOverride } from './owner-override.ts';
import { removeAt } from './remove.ts';
import { bytesOf, cleanPath, type Place, RootedTree, shownPath } from './rooted.ts';
import { PAX_XATTR, TAR_TYPE, type TarEntry } from './tar-entry.ts';
import type { TarReader } from './tar-reader.ts';
import { AUFS_LINKS, AUFS_PREFIX, isWhiteout, OPAQUE_NAME, WHITEOUT_PREFIX } from './whiteout.ts';

const IMPLIED_MODE = 0o755;
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
  /** With `delete` whiteouts: everything this archive put there, by real path, which its whiteouts spare. */
  readonly #fresh = new Set<string>();
  readonly #isOverlay: boolean;
  #entries = 0;
  #hasAufsLinks = false;

  constructor(root: string, settings: UnpackSettings, listener: UnpackListener) {
    this.#tree = new RootedTree(root, (place) => {
      chmodAt(place.directory, place.name, IMPLIED_MODE);
      this.#own(place);
    });
    this.#settings = settings;
    this.#listener = listener;
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
    else if (name.startsWith(WHITEOUT_PREFIX) && !isAufsLink(path)) this.#whiteout(path, name);
    else if (entry.type === TAR_TYPE.hardLink) this.#hardLink(entry, path);
    else this.#make(entry, path, reader);
  }

  #make(entry: TarEntry, path: string, reader: TarReader): void {
    const place = this.#tree.place(path, IMPLIED_MODE);
    const real = this.#remember(place);
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

  /** The real path of a place that this archive fills. */
  #remember(place: Place): string {
    const parent = this.#tree.walkedPath();
    const name = place.name.toString('latin1');
    const real = parent === '' ? name : `${parent}/${name}`;
    if (this.#isOverlay) return real;
    for (
      let path = real;
      path !== '' && !this.#fresh.has(path);
      path = path.slice(0, Math.max(0, path.lastIndexOf('/')))
    )
      this.#fresh.add(path);
    return real;
  }

  #rootEntry(entry: TarEntry): void {
    if (entry.type !== TAR_TYPE.directory)
      throw new StoreError('unsafe-path', 'the archive replaces the root directory by something else');
    this.#directories.set('', entry);
  }

  #file(entry: TarEntry, real: string, place: Place, reader: TarReader): void {
    const fd = this.#creating(real, place, () =>
      openAt(place.directory, place.name, CREATE, entry.mode & 0o777),
    );
    try {
      for (let view = reader.content(); view.length > 0; view = reader.content()) {
        if (isAufsLink(real)) this.#listener.embedded(view);
        else this.#listener.content(view);
        for (let at = 0; at < view.length; ) at += writeSync(fd, view, at, view.length - at);
      }
      this.#setOwner(fd, entry, S_IF.regular);
      chmodDescriptor(fd, entry.mode);
      this.#setXattrs(fd, entry);
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
      if (this.#isOverlay && old && isWhiteout(old)) this.#makeOpaque(place.directory, place.name);
    }
    this.#directories.set(real, entry);
  }

  #symlink(entry: TarEntry, real: string, place: Place): void {
    this.#creating(real, place, () => symlinkAt(bytesOf(entry.linkName), place.directory, place.name));
    this.#setOwnerAt(place, entry);
    this.#setXattrsAt(place, entry);
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
    this.#setOwnerAt(place, entry, mode);
    chmodAt(place.directory, place.name, entry.mode);
    this.#setXattrsAt(place, entry);
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
      const real = this.#remember(place);
      this.#creating(real, place, () => linkAt(from.directory, from.name, place.directory, place.name));
      this.#finishLink(entry, place, source.mode);
    } finally {
      closeSync(from.directory);
    }
  }

  /** The link's header counts for the file, as with containers/storage, but never for what a symlink leads to. */
  #finishLink(entry: TarEntry, place: Place, mode: number): void {
    if ((mode & S_IF.mask) === S_IF.symlink) return;
    this.#setOwnerAt(place, entry, (mode & S_IF.mask) | entry.mode);
    chmodAt(place.directory, place.name, entry.mode);
    this.#setXattrsAt(place, entry);
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

  #whiteout(path: string, name: string): void {
    const parentPath = path.slice(0, Math.max(0, path.length - name.length - 1));
    const hidden = name.slice(WHITEOUT_PREFIX.length);
    if (hidden === '' || hidden === '.' || hidden === '..')
      throw new StoreError('bad-layer', `invalid whiteout name "${shownPath(path)}"`);
    if (name === OPAQUE_NAME) this.#opaque(parentPath);
    else if (this.#isOverlay) this.#hide(parentPath === '' ? hidden : `${parentPath}/${hidden}`);
    else this.#delete(parentPath === '' ? hidden : `${parentPath}/${hidden}`);
  }

  /** What the same archive put there before stays: a whiteout speaks of the layers below. */
  #hide(path: string): void {
    try {
      const place = this.#tree.place(path, IMPLIED_MODE);
      mknodAt(place.directory, place.name, S_IF.character);
      this.#own(place);
    } catch (error) {
      // ENOTDIR: the parent itself is already hidden by a whiteout.
      if (!isSystemError(error, 'EEXIST', 'ENOTDIR')) throw error;
    }
  }

  #delete(path: string): void {
    try {
      const place = this.#tree.place(path);
      const parent = this.#tree.walkedPath();
      const name = place.name.toString('latin1');
      const real = parent === '' ? name : `${parent}/${name}`;
      if (this.#fresh.has(real)) {
        if ((statAt(place.directory, place.name).mode & S_IF.mask) === S_IF.directory)
          this.#deleteStale(place.directory, place.name, real);
        return;
      }
      removeAt(place.directory, place.name);
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw error;
    }
  }

  #opaque(path: string): void {
    if (this.#isOverlay) {
      this.#makeOpaque(this.#tree.directory(path, IMPLIED_MODE), '.');
      return;
    }
    try {
      const directory = this.#tree.directory(path);
      this.#deleteStale(directory, '.', this.#tree.walkedPath());
    } catch (error) {
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) throw error;
    }
  }

  /** Removes what a directory holds of the layers below, and keeps what this archive put there. */
  #deleteStale(directory: number, name: string | Buffer, real: string): void {
    const fd = openAt(directory, name, READ_DIRECTORY);
    try {
      for (const entry of readDirectory(fd)) {
        const text = entry.name.toString('latin1');
        const path = real === '' ? text : `${real}/${text}`;
        if (!this.#fresh.has(path)) removeAt(fd, entry.name);
        else if (entry.type === S_IF.directory) this.#deleteStale(fd, entry.name, path);
      }
    } finally {
      closeSync(fd);
    }
  }

  #makeOpaque(directory: number, name: string | Buffer): void {
    const fd = openAt(directory, name, READ_DIRECTORY);
    try {
      setXattr(fd, `${this.#settings.overlayXattrPrefix ?? 'trusted.'}overlay.opaque`, 'y');
    } finally {
      closeSync(fd);
    }
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
      this.#setOwner(fd, entry, S_IF.directory);
      this.#setXattrs(fd, entry);
      setTimesOfDescriptor(fd, entry.modifiedNs, entry.modifiedNs);
      chmodDescriptor(fd, entry.mode);
    } finally {
      closeSync(fd);
    }
  }

  #hostIds(entry: { readonly uid: number; readonly gid: number }): readonly [number, number] {
    const { idMappings } = this.#settings;
    return [toHost(idMappings?.uids, entry.uid, 'uid'), toHost(idMappings?.gids, entry.gid, 'gid')];
  }

  #setOwner(fd: number, entry: TarEntry, type: number): void {
    this.#tolerating(
      () => chownDescriptor(fd, ...this.#hostIds(entry)),
      () => setOverride(fd, { ...entry, mode: type | entry.mode }),
    );
  }

  #setOwnerAt(place: Place, entry: TarEntry, mode?: number): void {
    this.#tolerating(
      () => chownAt(place.directory, place.name, ...this.#hostIds(entry)),
      () => mode !== undefined && setOverride(procPath(place), { ...entry, mode }),
    );
  }

  #tolerating(chown: () => void, otherwise: () => void): void {
    try {
      chown();
    } catch (error) {
      if (!this.#settings.ignoreChownErrors || !isSystemError(error, 'EPERM', 'EINVAL')) throw error;
      otherwise();
    }
  }

  /** Implied parents and whiteouts belong to the container's root. */
  #own(place: Place): void {
    if (!this.#settings.idMappings) return;
    this.#tolerating(
      () => chownAt(place.directory, place.name, ...this.#hostIds({ uid: 0, gid: 0 })),
      () => {},
    );
  }

  #setXattrs(fd: number, entry: TarEntry): void {
    for (const [name, value] of xattrsOf(entry)) this.#setXattr(fd, name, value);
  }

  #setXattrsAt(place: Place, entry: TarEntry): void {
    for (const [name, value] of xattrsOf(entry)) this.#setXattr(procPath(place), name, value);
  }

  /** As containers/storage: passed over where the file system or an unprivileged user cannot set it. */
  #setXattr(target: number | Buffer, name: Buffer, value: Buffer): void {
    try {
      setXattr(target, name, value);
    } catch (error) {
      const { inUserNamespace, ignoreChownErrors } = this.#settings;
      if (isSystemError(error, 'ENOTSUP')) return;
      if (isSystemError(error, 'EPERM') && (inUserNamespace || ignoreChownErrors)) return;
      throw error;
    }
  }
}

const isAufsLink = (path: string) => path === AUFS_LINKS || path.startsWith(`${AUFS_LINKS}/`);

const NODE_TYPES: Readonly<Record<string, number>> = {
  [TAR_TYPE.character]: S_IF.character,
  [TAR_TYPE.block]: S_IF.block,
  [TAR_TYPE.fifo]: S_IF.fifo,
};

/** Attributes that an archive may set. The overlay file system's own would change what other files look like. */
function* xattrsOf(entry: TarEntry): Generator<readonly [Buffer, Buffer]> {
  for (const [key, value] of entry.pax) {
    if (!key.startsWith(PAX_XATTR)) continue;
    const name = key.slice(PAX_XATTR.length);
    const isRefused =
      name === '' ||
      name === 'security.selinux' ||
      name === OVERRIDE_XATTR ||
      name.startsWith('trusted.overlay.') ||
      name.startsWith('user.overlay.');
    if (!isRefused) yield [bytesOf(name), bytesOf(value)];
  }
}

/** A path for calls that have no `at` form; the link in /proc leads to the held directory itself. */
function procPath(place: Place): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${place.directory}/`), place.name]);
}

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
