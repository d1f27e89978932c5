import { createHash, type Hash } from 'node:crypto';
import type { TreeEntry } from './tree-writer.ts';

/** What an addition was, for history and cache keys, as Buildah names it: `file:<hex>`, `dir:<hex>`, `multi:<hex>`. */
export interface ContentSummary {
  readonly kind: '' | 'file' | 'dir' | 'multi';
  /** 64 hexadecimal digits; empty when nothing was added. */
  readonly hex: string;
}

/** The digest of everything that one source brought: names, types, modes, owners, links, attributes and bytes, but no times. */
export class ContentDigest {
  readonly #hash: Hash = createHash('sha256');
  readonly kind: '' | 'file' | 'dir';

  constructor(kind: '' | 'file' | 'dir') {
    this.kind = kind;
  }

  /**
   * @param sizeBytes of a file's content; 0 for others
   * @param content what {@link startFileDigest} gave for a file, its attributes and bytes
   */
  entry(entry: TreeEntry, sizeBytes: number, content?: Uint8Array): void {
    const { path, kind, mode, uid, gid, link = '', deviceMajor = 0, deviceMinor = 0 } = entry;
    const fields = [kind, mode.toString(8), uid, gid, sizeBytes, deviceMajor, deviceMinor, path, link];
    this.#hash.update(`${fields.join('\0')}\0`, 'latin1');
    if (content) this.#hash.update(content);
    else addAttributes(this.#hash, entry.xattrs);
    this.#hash.update('\n');
  }

  finish(): string {
    return this.#hash.digest('hex');
  }
}

/** The digest of one file's attributes and, as far as the caller adds them, bytes. */
export function startFileDigest(xattrs: TreeEntry['xattrs']): Hash {
  const hash = createHash('sha256');
  addAttributes(hash, xattrs);
  return hash;
}

function addAttributes(hash: Hash, xattrs: TreeEntry['xattrs'] = []): void {
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
