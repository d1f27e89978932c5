import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isSystemError } from '../errors.ts';
import { algorithmOf, type Digest, encodedOf } from '../image/digest.ts';

/**
 * The registry's files. Blobs and manifests lie once under `blobs/<algorithm>/<hex>`; a repository holds small link
 * files that say which of them are its own (`_blobs`, `_manifests`, `_tags`, `_referrers`: names that no repository
 * component can have, since those start with a letter or digit). Every file appears by rename.
 */
export class ContentDirectory {
  readonly root: string;
  readonly #durable: boolean;

  private constructor(root: string, durable: boolean) {
    this.root = root;
    this.#durable = durable;
  }

  static async open(root: string, options: { readonly durable: boolean }): Promise<ContentDirectory> {
    for (const name of ['blobs', 'repositories', 'uploads', 'tmp'])
      await mkdir(join(root, name), { recursive: true });
    return new ContentDirectory(root, options.durable);
  }

  blobPath(digest: Digest): string {
    return join(this.root, 'blobs', algorithmOf(digest), encodedOf(digest));
  }

  /** A file below a repository; `parts` are checked names (tags, algorithms, hex). */
  repositoryPath(repository: string, ...parts: string[]): string {
    return join(this.root, 'repositories', repository, ...parts);
  }

  linkPath(repository: string, kind: '_blobs' | '_manifests', digest: Digest): string {
    return this.repositoryPath(repository, kind, algorithmOf(digest), encodedOf(digest));
  }

  /** Size in bytes of a blob that the repository holds. */
  async blobSize(repository: string, digest: Digest): Promise<number | undefined> {
    if ((await this.read(this.linkPath(repository, '_blobs', digest))) === undefined) return undefined;
    return this.#size(this.blobPath(digest));
  }

  async linkBlob(repository: string, digest: Digest): Promise<void> {
    await this.publish(this.linkPath(repository, '_blobs', digest), '');
  }

  /** Moves a finished temporary file to its blob name. */
  async adoptBlob(temporary: string, digest: Digest): Promise<void> {
    const path = this.blobPath(digest);
    if (this.#durable) await syncFile(temporary);
    await mkdir(dirname(path), { recursive: true });
    await rename(temporary, path);
    if (this.#durable) await syncFile(dirname(path));
  }

  async publish(path: string, content: string | Uint8Array): Promise<void> {
    const temporary = join(this.root, 'tmp', randomUUID());
    await writeFile(temporary, content, { flush: this.#durable });
    await mkdir(dirname(path), { recursive: true });
    await rename(temporary, path);
    if (this.#durable) await syncFile(dirname(path));
  }

  async read(path: string): Promise<Buffer | undefined> {
    return unlessMissing(readFile(path));
  }

  async list(path: string): Promise<string[]> {
    return (await unlessMissing(readdir(path))) ?? [];
  }

  /** True where something was removed. */
  async remove(path: string): Promise<boolean> {
    if ((await unlessMissing(stat(path))) === undefined) return false;
    await rm(path, { recursive: true, force: true });
    return true;
  }

  async #size(path: string): Promise<number | undefined> {
    return (await unlessMissing(stat(path)))?.size;
  }
}

async function unlessMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
