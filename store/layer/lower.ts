import { isSystemError } from '../../errors.ts';
import { statAtIfExists } from '../kernel/stat.ts';
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
