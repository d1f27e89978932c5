import { closeSync } from 'node:fs';
import { isSystemError } from '../../errors.ts';
import { StoreError } from '../error.ts';
import { mknodAt, OPEN, openAt } from '../kernel/at.ts';
import { readDirectory, S_IF, statAt } from '../kernel/stat.ts';
import { setXattr } from '../kernel/xattr.ts';
import type { EntryMetadata } from './entry-metadata.ts';
import { removeAt } from './remove.ts';
import { type Place, type RootedTree, shownPath } from './rooted.ts';
import type { UnpackSettings } from './unpack.ts';
import { OPAQUE_NAME, WHITEOUT_PREFIX } from './whiteout.ts';

const READ_DIRECTORY = OPEN.readOnly | OPEN.directory | OPEN.noFollow;
/** Permissions of directories that an archive does not name. */
export const IMPLIED_MODE = 0o755;

/** Carries out the whiteouts of one archive, which speak of the layers below and spare what it brings itself. */
export class Whiteouts {
  readonly #tree: RootedTree;
  readonly #settings: UnpackSettings;
  readonly #metadata: EntryMetadata;
  readonly #isOverlay: boolean;
  /** With `delete` whiteouts: everything this archive put there, by real path. */
  readonly #fresh = new Set<string>();

  constructor(tree: RootedTree, settings: UnpackSettings, metadata: EntryMetadata) {
    this.#tree = tree;
    this.#settings = settings;
    this.#metadata = metadata;
    this.#isOverlay = settings.whiteouts === 'overlay';
  }

  /** The real path of a place that this archive fills. */
  remember(place: Place): string {
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

  /** @param name the last component of `path`, which starts with `.wh.` */
  apply(path: string, name: string): void {
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
      this.#metadata.own(place);
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
      this.makeOpaque(this.#tree.directory(path, IMPLIED_MODE), '.');
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

  /** Hides what lies below a directory, by overlayfs's attribute. */
  makeOpaque(directory: number, name: string | Buffer): void {
    const fd = openAt(directory, name, READ_DIRECTORY);
    try {
      setXattr(fd, `${this.#settings.overlayXattrPrefix ?? 'trusted.'}overlay.opaque`, 'y');
    } finally {
      closeSync(fd);
    }
  }
}
