import { isSystemError } from '../../errors.ts';
import { closeDescriptor, OPEN, openAt } from '../kernel/at.ts';
import { S_IF, statAtIfExists } from '../kernel/stat.ts';
import { getXattr } from '../kernel/xattr.ts';
import { RootedTree } from './rooted.ts';
import { isWhiteout } from './whiteout.ts';

/**
 * The layers below one that is packed, topmost first. overlayfs marks every new directory as opaque, also where
 * nothing lies below it; only a directory that a lower layer shows needs a whiteout in the archive.
 */
export class LowerDirectories implements Disposable {
  readonly #trees: readonly RootedTree[];

  constructor(directories: readonly string[]) {
    this.#trees = directories.map((directory) => new RootedTree(directory));
  }

  [Symbol.dispose](): void {
    for (const tree of this.#trees) tree[Symbol.dispose]();
  }

  /** True where the path exists in the layers below and is not already hidden by a whiteout among them. */
  shows(path: string): boolean {
    const parts = path.split('/');
    for (const tree of this.#trees) {
      for (let length = 1; length <= parts.length; length += 1) {
        const status = this.#status(tree, parts.slice(0, length).join('/'));
        if (!status) break;
        if (isWhiteout(status)) return false;
        if (length === parts.length) return true;
      }
    }
    return false;
  }

  /**
   * A descriptor of the directory that the layers below show at the path, for the caller to close.
   * @param opaqueName the attribute by which overlayfs notes that a directory hides what is further down
   */
  openDirectory(path: string, opaqueName: string): number | undefined {
    const parts = path.split('/');
    for (const tree of this.#trees) {
      for (let length = 1; length <= parts.length; length += 1) {
        const part = parts.slice(0, length).join('/');
        const status = this.#status(tree, part);
        if (!status) break;
        if ((status.mode & S_IF.mask) !== S_IF.directory) return undefined;
        const place = tree.place(part);
        const fd = openAt(place.directory, place.name, OPEN.readOnly | OPEN.directory | OPEN.noFollow);
        if (length === parts.length) return fd;
        const isOpaque = getXattr(fd, opaqueName)?.toString('latin1') === 'y';
        closeDescriptor(fd);
        if (isOpaque && !this.#status(tree, parts.slice(0, length + 1).join('/'))) return undefined;
      }
    }
    return undefined;
  }

  #status(tree: RootedTree, path: string) {
    try {
      const place = tree.place(path);
      return statAtIfExists(place.directory, place.name);
    } catch (error) {
      if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  }
}
