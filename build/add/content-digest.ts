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

  /** @param sizeBytes of a file's content that {@link bytes} is given next; 0 for others */
  entry(entry: TreeEntry, sizeBytes: number): void {
    const { path, kind, mode, uid, gid, link = '', deviceMajor = 0, deviceMinor = 0 } = entry;
    const fields = [kind, mode.toString(8), uid, gid, sizeBytes, deviceMajor, deviceMinor, path, link];
    this.#hash.update(`${fields.join('\0')}\0`, 'latin1');
    for (const [name, value] of entry.xattrs ?? []) this.#hash.update(`${name}\0`).update(value);
    this.#hash.update('\n');
  }

  bytes(chunk: Uint8Array): void {
    this.#hash.update(chunk);
  }

  finish(): string {
    return this.#hash.digest('hex');
  }
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
