import type { HistoryEntry, ImageConfig } from '../../image/config.ts';
import type { Digest } from '../../image/digest.ts';
import type { Manifest } from '../../image/manifest.ts';
import type { ImageRecord } from '../../store/storage/contract.ts';

/** What an image's family depends on; undefined where a document is missing, damaged, or (a config) a manifest list's. */
export interface ImageDocuments {
  readonly config?: ImageConfig;
  readonly manifest?: Manifest;
}

interface Member {
  readonly record: ImageRecord;
  readonly config: ImageConfig;
  /** Stands for its history, so that neither children nor parents are found by comparing all images with all. */
  readonly history: number;
  /** That of an image it was built on; undefined where its history is empty. */
  readonly earlier?: number;
}

/**
 * Which images were built on which, as containers/common's libimage finds out: a child has its parent's layers and its
 * parent's history with one entry more. Images may leave it.
 */
export class ImageFamily {
  readonly #members = new Map<string, Member>();
  readonly #byHistory = new Map<number, Set<Member>>();
  readonly #byEarlier = new Map<number, Set<Member>>();
  /** A number for each history, by that of the history before it and its last entry. */
  readonly #histories = new Map<string, number>();
  /** Digests in manifest lists, by the id of the list. */
  readonly #lists = new Map<string, ReadonlySet<Digest>>();

  constructor(images: Iterable<ImageRecord>, documentsOf: (record: ImageRecord) => ImageDocuments) {
    for (const record of images) this.#add(record, documentsOf(record));
  }

  #add(record: ImageRecord, { config, manifest }: ImageDocuments): void {
    if (manifest?.kind === 'index' && !record.topLayer)
      this.#lists.set(record.id, new Set(manifest.manifests.map(({ digest }) => digest)));
    if (!config) return;
    const member: Member = { record, config, ...this.#numbersOf(config.history ?? []) };
    this.#members.set(record.id, member);
    setOf(this.#byHistory, member.history).add(member);
    if (member.earlier !== undefined) setOf(this.#byEarlier, member.earlier).add(member);
  }

  #numbersOf(history: readonly HistoryEntry[]): Pick<Member, 'history' | 'earlier'> {
    let earlier: number | undefined;
    let number = 0;
    for (const entry of history) {
      earlier = number;
      const key = `${earlier} ${JSON.stringify(entry)}`;
      number = this.#histories.get(key) ?? this.#histories.size + 1;
      this.#histories.set(key, number);
    }
    return { history: number, ...(earlier === undefined ? {} : { earlier }) };
  }

  /** The image is gone. */
  remove(id: string): void {
    this.#lists.delete(id);
    const member = this.#members.get(id);
    if (!member) return;
    this.#members.delete(id);
    this.#byHistory.get(member.history)?.delete(member);
    if (member.earlier !== undefined) this.#byEarlier.get(member.earlier)?.delete(member);
  }

  hasChildren(id: string): boolean {
    const own = this.#members.get(id);
    for (const child of (own && this.#byEarlier.get(own.history)) ?? [])
      if (child !== own && hasLayersOf(child, own as Member)) return true;
    return false;
  }

  parent(id: string): ImageRecord | undefined {
    const own = this.#members.get(id);
    if (own?.earlier === undefined) return undefined;
    for (const parent of this.#byHistory.get(own.earlier) ?? [])
      if (parent !== own && hasLayersOf(own, parent)) return parent.record;
    return undefined;
  }

  /** Without a name, nothing built on it, and in no manifest list. */
  isDangling({ id, names, digest }: ImageRecord): boolean {
    if (names.length > 0 || this.hasChildren(id)) return false;
    if (digest === undefined) return true;
    for (const listed of this.#lists.values()) if (listed.has(digest)) return false;
    return true;
  }
}

function hasLayersOf(child: Member, parent: Member): boolean {
  const own = child.config.rootfs.diff_ids;
  return parent.config.rootfs.diff_ids.every((diffId, index) => own[index] === diffId);
}

function setOf<K, V>(sets: Map<K, Set<V>>, key: K): Set<V> {
  const found = sets.get(key) ?? new Set<V>();
  sets.set(key, found);
  return found;
}
