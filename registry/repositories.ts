import type { Descriptor } from '../image/descriptor.ts';
import { type Digest, parseDigest } from '../image/digest.ts';
import type { ContentDirectory } from './content.ts';

/** A manifest as it was pushed. */
export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** What {@link Repositories.putManifest} keeps beside the bytes. */
export interface ManifestRecord {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Set where the manifest refers to a subject; the descriptor is what the referrers API lists. */
  readonly referrer?: { readonly subject: Digest; readonly descriptor: Descriptor };
}

/** Names, tags, manifests and referrers over a {@link ContentDirectory}. */
export class Repositories {
  readonly #content: ContentDirectory;

  constructor(content: ContentDirectory) {
    this.#content = content;
  }

  async resolveTag(repository: string, tag: string): Promise<Digest | undefined> {
    const text = await this.#content.read(this.#content.repositoryPath(repository, '_tags', tag));
    return text === undefined ? undefined : parseDigest(text.toString('utf8').trim());
  }

  async manifest(repository: string, digest: Digest): Promise<StoredManifest | undefined> {
    const mediaType = await this.#content.read(this.#content.linkPath(repository, '_manifests', digest));
    if (mediaType === undefined) return undefined;
    const bytes = await this.#content.read(this.#content.blobPath(digest));
    return bytes && { digest, mediaType: mediaType.toString('utf8'), bytes };
  }

  async putManifest(
    repository: string,
    bytes: Uint8Array,
    record: ManifestRecord,
    tags: readonly string[] = [],
  ): Promise<void> {
    const content = this.#content;
    await content.publish(content.blobPath(record.digest), bytes);
    await content.publish(content.linkPath(repository, '_manifests', record.digest), record.mediaType);
    if (record.referrer) {
      const { subject, descriptor } = record.referrer;
      await content.publish(
        this.#referrerPath(repository, subject, record.digest),
        JSON.stringify(descriptor),
      );
    }
    for (const tag of tags)
      await content.publish(content.repositoryPath(repository, '_tags', tag), record.digest);
  }

  async deleteTag(repository: string, tag: string): Promise<boolean> {
    return this.#content.remove(this.#content.repositoryPath(repository, '_tags', tag));
  }

  /** Removes a manifest, the tags that point to it and its entry among its subject's referrers. */
  async deleteManifest(repository: string, digest: Digest, subject?: Digest): Promise<boolean> {
    const removed = await this.#content.remove(this.#content.linkPath(repository, '_manifests', digest));
    if (!removed) return false;
    for (const tag of (await this.tags(repository)) ?? [])
      if ((await this.resolveTag(repository, tag)) === digest) await this.deleteTag(repository, tag);
    if (subject) await this.#content.remove(this.#referrerPath(repository, subject, digest));
    return true;
  }

  /** Sorted; undefined for a repository that does not exist. */
  async tags(repository: string): Promise<string[] | undefined> {
    const entries = await this.#content.list(this.#content.repositoryPath(repository));
    if (!entries.includes('_manifests')) return undefined;
    return (await this.#content.list(this.#content.repositoryPath(repository, '_tags'))).sort(byCodeUnits);
  }

  async referrers(repository: string, subject: Digest): Promise<Descriptor[]> {
    const directory = this.#referrerPath(repository, subject);
    const names = (await this.#content.list(directory)).sort(byCodeUnits);
    const documents = await Promise.all(names.map((name) => this.#content.read(`${directory}/${name}`)));
    return documents.flatMap((text) => (text ? [JSON.parse(text.toString('utf8')) as Descriptor] : []));
  }

  /** Names of all repositories with manifests, sorted. */
  async names(): Promise<string[]> {
    const found: string[] = [];
    const visit = async (name: string): Promise<void> => {
      const entries = await this.#content.list(this.#content.repositoryPath(name));
      if (entries.includes('_manifests')) found.push(name);
      for (const entry of entries)
        if (!entry.startsWith('_')) await visit(name === '' ? entry : `${name}/${entry}`);
    };
    await visit('');
    return found.sort(byCodeUnits);
  }

  #referrerPath(repository: string, subject: Digest, referrer?: Digest): string {
    const name = (digest: Digest) => digest.replace(':', '-');
    const parts = ['_referrers', name(subject), ...(referrer ? [name(referrer)] : [])];
    return this.#content.repositoryPath(repository, ...parts);
  }
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
