import { closeDescriptor, OPEN, openAt } from '../kernel/at.ts';
import { type DirectoryEntry, type FileStatus, readDirectory, S_IF, statDescriptor } from '../kernel/stat.ts';
import { getXattr, listXattrs } from '../kernel/xattr.ts';
import type { LowerDirectories } from './lower.ts';

/**
 * Finds the directories that overlayfs copied up for something that has gone again, such as the place of a mount: they
 * are as in the layers below, and so is all that they hold.
 */
export class UnchangedDirectories {
  readonly #lower: LowerDirectories;
  readonly #overlayPrefix: string;
  readonly #known = new Map<string, boolean>();

  /** @param overlayPrefix of the attributes that overlayfs keeps for itself */
  constructor(lower: LowerDirectories, overlayPrefix: string) {
    this.#lower = lower;
    this.#overlayPrefix = overlayPrefix;
  }

  /** @param fd the directory at the path, with these entries, open for reading */
  has(path: string, fd: number, entries: readonly DirectoryEntry[]): boolean {
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const isUnchanged =
      entries.every(({ type }) => type === S_IF.directory) &&
      this.#isAsBelow(path, fd) &&
      entries.every(({ name }) => this.#hasChild(path, fd, name));
    this.#known.set(path, isUnchanged);
    return isUnchanged;
  }

  #hasChild(path: string, directory: number, name: Buffer): boolean {
    const fd = openAt(directory, name, OPEN.readOnly | OPEN.directory | OPEN.noFollow);
    try {
      return this.has(`${path}/${name.toString('latin1')}`, fd, readDirectory(fd));
    } finally {
      closeDescriptor(fd);
    }
  }

  #isAsBelow(path: string, fd: number): boolean {
    const opaque = `${this.#overlayPrefix}opaque`;
    if (getXattr(fd, opaque)?.toString('latin1') === 'y') return false;
    const below = this.#lower.openDirectory(path, opaque);
    if (below === undefined) return false;
    try {
      return isSameStatus(statDescriptor(fd), statDescriptor(below)) && this.#hasSameXattrs(fd, below);
    } finally {
      closeDescriptor(below);
    }
  }

  #hasSameXattrs(fd: number, below: number): boolean {
    const namesOf = (one: number) => listXattrs(one).filter((name) => !name.startsWith(this.#overlayPrefix));
    const names = namesOf(fd);
    return (
      names.length === namesOf(below).length &&
      names.every((name) => {
        const value = getXattr(below, name);
        return value !== undefined && getXattr(fd, name)?.equals(value) === true;
      })
    );
  }
}

function isSameStatus(one: FileStatus, other: FileStatus): boolean {
  return (
    one.mode === other.mode &&
    one.uid === other.uid &&
    one.gid === other.gid &&
    one.modifiedNs === other.modifiedNs
  );
}
