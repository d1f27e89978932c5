import { createHash, type Hash } from 'node:crypto';
import { fromBytes } from './rooted.ts';
import type { TreeEntry } from './tree-writer.ts';

/** What an addition was, for history and cache keys, as Buildah names it: `file:<hex>`, `dir:<hex>`, `multi:<hex>`. */
export interface ContentSummary {
  readonly kind: '' | 'file' | 'dir' | 'multi';
  /** 64 hexadecimal digits; empty when nothing was added. */
  readonly hex: string;
}

const PENDING_BYTES = 1 << 16;

/** The digest of everything that one source brought: names, types, modes, owners, links, attributes and bytes, but no times. */
export class ContentDigest {
  readonly #hash: Hash = createHash('sha256');
  /** Bytes in a latin1 string: a call of the hash for each entry would cost more than hashing it. */
  #pending = '';
  readonly kind: '' | 'file' | 'dir';

  constructor(kind: '' | 'file' | 'dir') {
    this.kind = kind;
  }

  /**
   * @param sizeBytes of a file's content; 0 for others
   * @param content what a `FileDigest` gave for a file, its attributes and bytes
   */
  entry(entry: TreeEntry, sizeBytes: number, content?: Uint8Array): void {
    const { path, kind, mode, uid, gid, link = '', deviceMajor = 0, deviceMinor = 0 } = entry;
    this.#pending += `${kind}\0${mode.toString(8)}\0${uid}\0${gid}\0${sizeBytes}\0${deviceMajor}\0${deviceMinor}\0${path}\0${link}\0`;
    if (content) this.#pending += fromBytes(content);
    else if (entry.xattrs?.length) {
      this.#flush();
      addAttributes(this.#hash, entry.xattrs);
    }
    this.#pending += '\n';
    if (this.#pending.length > PENDING_BYTES) this.#flush();
  }

  #flush(): void {
    this.#hash.update(this.#pending, 'latin1');
    this.#pending = '';
  }

  finish(): string {
    this.#flush();
    return this.#hash.digest('hex');
  }
}

export function addAttributes(hash: Hash, xattrs: TreeEntry['xattrs'] = []): void {
  for (const [name, value] of xattrs) hash.update(`${name}\0${value.length}\0`).update(value);
}

/** The summary over the digests of all sources, as Buildah combines them. */
export function summarize(
  digests: readonly { readonly kind: string; readonly hex: string }[],
): ContentSummary {
  const [first] = digests;
  if (!first) return { kind: '', hex: '' };
  if (digests.length === 1) return first as ContentSummary;
  const text = digests.map(({ kind, hex }) => (kind ? `${kind}:${hex}` : hex)).join(',');
  return { kind: 'multi', hex: createHash('sha256').update(text).digest('hex') };
}

/** `dir:<hex>`, or the bare hex for a download. */
export function formatSummary({ kind, hex }: ContentSummary): string {
  return kind && hex ? `${kind}:${hex}` : hex;
}
