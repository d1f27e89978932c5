import { isSystemError } from '../../errors.ts';
import { closeDescriptor, type FileStatus, OPEN, S_IF, statAtIfExists } from '../../store/kernel/index.ts';
import type { KnownDigests } from './known-digests.ts';
import type { CopiedFiles } from './previous-copy.ts';
import { type BytePath, RootedDirectory, toBytes, viewOf } from './rooted.ts';
import type { TreeEntry, TreeWriter } from './tree-writer.ts';

/**
 * Takes unchanged files over from the layer of an earlier build, by hard links: a layer of an image never changes, and
 * the layer that is being made becomes one before anything else can write to it.
 */
export class ReusedFiles implements Disposable {
  readonly #files: CopiedFiles;
  readonly #known: KnownDigests;
  readonly #root: RootedDirectory;
  readonly #writer: TreeWriter;
  /** Two names of one file would become a hard link of the layer. */
  readonly #taken = new Set<number>();
  #open: { readonly path: BytePath; readonly fd: number | undefined } | undefined;

  /** @param files with the directory of the earlier layer's files */
  constructor(files: CopiedFiles & { readonly directory: string }, known: KnownDigests, writer: TreeWriter) {
    this.#files = files;
    this.#known = known;
    this.#root = new RootedDirectory(files.directory);
    this.#writer = writer;
  }

  [Symbol.dispose](): void {
    this.#close();
    this.#root[Symbol.dispose]();
  }

  /** Puts a file at its place without reading it, and gives its digest; undefined where it has to be copied. */
  place(entry: TreeEntry, status: FileStatus): Uint8Array | undefined {
    const digest = this.#known.get(status);
    if (!digest || this.#files.digests.get(entry.path) !== viewOf(digest).toString('hex')) return undefined;
    const slash = entry.path.lastIndexOf('/');
    const directory = this.#directory(slash < 0 ? '' : entry.path.slice(0, slash));
    if (directory === undefined) return undefined;
    const name = toBytes(entry.path.slice(slash + 1));
    const earlier = statAtIfExists(directory, name);
    if (!earlier || !isSame(entry, status.sizeBytes, earlier) || this.#taken.has(earlier.inode))
      return undefined;
    try {
      this.#writer.link(entry.path, directory, name);
    } catch (error) {
      // Another build removes the layer, or the file has as many names as its file system allows.
      if (isSystemError(error, 'ENOENT', 'EEXIST', 'EMLINK', 'EXDEV', 'EPERM')) return undefined;
      throw error;
    }
    this.#taken.add(earlier.inode);
    return digest;
  }

  #directory(path: BytePath): number | undefined {
    if (this.#open?.path === path) return this.#open.fd;
    this.#close();
    const full = [this.#files.base, path].filter(Boolean).join('/');
    const fd = this.#root.open(full, OPEN.path | OPEN.directory);
    this.#open = { path, fd };
    return fd;
  }

  #close(): void {
    if (this.#open?.fd !== undefined) closeDescriptor(this.#open.fd);
    this.#open = undefined;
  }
}

function isSame(entry: TreeEntry, sizeBytes: number, earlier: FileStatus): boolean {
  return (
    earlier.mode === (S_IF.regular | entry.mode) &&
    earlier.uid === entry.uid &&
    earlier.gid === entry.gid &&
    earlier.sizeBytes === sizeBytes &&
    earlier.modifiedNs === entry.modifiedNs
  );
}
