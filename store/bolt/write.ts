import { BoltBucket } from './bucket.ts';
import {
  BUCKET_BYTES,
  BUCKET_ELEMENT,
  ELEMENT_BYTES,
  FLAG,
  HEADER_BYTES,
  type Meta,
  writeHeader,
} from './format.ts';
import type { BoltState } from './read.ts';

export interface WrittenPage {
  readonly id: number;
  /** Of whole pages, more than one where it overflows. */
  readonly bytes: Buffer;
}

/** What a transaction writes: these pages first, and when they are safe on the disk, its meta. */
export interface BoltCommit {
  readonly pages: readonly WrittenPage[];
  readonly meta: Meta;
}

/**
 * Lays the changed buckets of a state out on pages that the state does not use, so that it stays whole until the new
 * meta is written. Undefined where nothing has changed.
 */
export function planCommit(state: BoltState): BoltCommit | undefined {
  if (!state.root.isChanged()) return undefined;
  const writer = new Writer(state);
  const root = writer.treeOf(state.root);
  const { freelist, end } = writer.finish();
  const meta = { ...state.meta, root, freelist, end, transaction: state.meta.transaction + 1n };
  return { pages: writer.pages, meta };
}

/** The pages of a new database: two metas, an empty freelist, an empty root bucket. */
export function firstPages(pageSize: number): BoltCommit & { readonly metas: readonly Meta[] } {
  const empty = (id: number, flags: number) => {
    const bytes = Buffer.alloc(pageSize);
    writeHeader(bytes, { id, flags, count: 0, overflow: 0 });
    return { id, bytes };
  };
  const meta = { pageSize, flags: 0, root: 3, sequence: 0n, freelist: 2, end: 4, transaction: 1n };
  return {
    pages: [empty(2, FLAG.freelist), empty(3, FLAG.leaf)],
    metas: [{ ...meta, transaction: 0n }, meta],
    meta,
  };
}

/** A key with what stands for it on a page. */
interface Item {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly flags: number;
}

class Writer {
  readonly pages: WrittenPage[] = [];
  readonly #pageSize: number;
  /** Of pages that neither state uses, ascending. */
  #free: number[] = [];
  /** Of pages that the old state alone uses: free for the next transaction. */
  readonly #released: number[];
  #end: number;

  constructor({ meta, used, freelistPages }: BoltState) {
    this.#pageSize = meta.pageSize;
    this.#end = meta.end;
    this.#released = [...freelistPages];
    for (let id = 2; id < meta.end; id += 1) if (!used.has(id)) this.#free.push(id);
  }

  /** Writes a changed bucket to pages of its own. @returns the root page */
  treeOf(bucket: BoltBucket): number {
    this.#released.push(...bucket.pages);
    let level = this.#write(this.#itemsOf(bucket), FLAG.leaf);
    while (level.length > 1) level = this.#write(level, FLAG.branch);
    return Number((level[0] as Item).value.readBigUInt64LE(0));
  }

  /** Writes the freelist, which needs room itself. */
  finish(): { freelist: number; end: number } {
    const most = this.#free.length + this.#released.length;
    const freelist = this.#allocate(Math.ceil((HEADER_BYTES + (most + 1) * 8) / this.#pageSize));
    const ids = [...this.#free, ...this.#released].sort((a, b) => a - b);
    const isLong = ids.length >= 0xffff;
    const words = isLong ? [ids.length, ...ids] : ids;
    writeHeader(freelist.bytes, {
      id: freelist.id,
      flags: FLAG.freelist,
      count: isLong ? 0xffff : ids.length,
      overflow: freelist.bytes.length / this.#pageSize - 1,
    });
    for (const [index, word] of words.entries())
      freelist.bytes.writeBigUInt64LE(BigInt(word), HEADER_BYTES + index * 8);
    return { freelist: freelist.id, end: this.#end };
  }

  #itemsOf(bucket: BoltBucket): Item[] {
    return bucket.entries().map(([key, value]) => {
      if (!(value instanceof BoltBucket)) return { key, value, flags: 0 };
      return { key, value: this.#bucketValue(value), flags: BUCKET_ELEMENT };
    });
  }

  #bucketValue(bucket: BoltBucket): Buffer {
    const header = Buffer.alloc(BUCKET_BYTES);
    header.writeBigUInt64LE(bucket.sequence, 8);
    const [root] = bucket.pages;
    if (root !== undefined && !bucket.isChanged()) {
      header.writeBigUInt64LE(BigInt(root), 0);
      return header;
    }
    const inline = this.#inlinePage(bucket);
    if (inline) {
      this.#released.push(...bucket.pages);
      return Buffer.concat([header, inline]);
    }
    header.writeBigUInt64LE(BigInt(this.treeOf(bucket)), 0);
    return header;
  }

  /** A small bucket without further buckets lives in its parent, as bbolt has it. */
  #inlinePage(bucket: BoltBucket): Buffer | undefined {
    const entries = bucket.entries();
    if (entries.some(([, value]) => value instanceof BoltBucket)) return undefined;
    const items = this.#itemsOf(bucket);
    const size = HEADER_BYTES + items.reduce((sum, item) => sum + sizeOf(item, FLAG.leaf), 0);
    if (size > this.#pageSize / 4) return undefined;
    const page = Buffer.alloc(size);
    fill(page, { id: 0, overflow: 0, flags: FLAG.leaf }, items);
    return page;
  }

  /** Fills pages from left to right. @returns what their parents hold of them */
  #write(items: readonly Item[], flags: number): Item[] {
    return this.#packed(items, flags).map((group) => {
      const bytes = HEADER_BYTES + group.reduce((sum, item) => sum + sizeOf(item, flags), 0);
      const page = this.#allocate(Math.ceil(bytes / this.#pageSize));
      fill(page.bytes, { id: page.id, overflow: page.bytes.length / this.#pageSize - 1, flags }, group);
      const value = Buffer.alloc(8);
      value.writeBigUInt64LE(BigInt(page.id));
      return { key: group[0]?.key ?? Buffer.alloc(0), value, flags: 0 };
    });
  }

  #packed(items: readonly Item[], flags: number): Item[][] {
    const groups: Item[][] = [];
    let group: Item[] = [];
    let bytes = HEADER_BYTES;
    for (const item of items) {
      const size = sizeOf(item, flags);
      if (group.length > 0 && bytes + size > this.#pageSize) {
        groups.push(group);
        group = [];
        bytes = HEADER_BYTES;
      }
      group.push(item);
      bytes += size;
    }
    return [...groups, group];
  }

  /** The first run of free pages that is long enough, else new ones at the end. */
  #allocate(count: number): WrittenPage {
    const at = this.#free.findIndex((id, index) => this.#free[index + count - 1] === id + count - 1);
    const id = at < 0 ? this.#end : (this.#free[at] as number);
    if (at < 0) this.#end += count;
    else this.#free.splice(at, count);
    const page = { id, bytes: Buffer.alloc(count * this.#pageSize) };
    this.pages.push(page);
    return page;
  }
}

function sizeOf({ key, value }: Item, flags: number): number {
  return ELEMENT_BYTES + key.length + (flags === FLAG.leaf ? value.length : 0);
}

function fill(page: Buffer, header: { id: number; overflow: number; flags: number }, items: readonly Item[]) {
  writeHeader(page, { ...header, count: items.length });
  let data = HEADER_BYTES + items.length * ELEMENT_BYTES;
  for (const [index, item] of items.entries()) {
    const start = HEADER_BYTES + index * ELEMENT_BYTES;
    if (header.flags === FLAG.leaf) {
      const words = [item.flags, data - start, item.key.length, item.value.length];
      for (const [word, value] of words.entries()) page.writeUInt32LE(value, start + word * 4);
    } else {
      page.writeUInt32LE(data - start, start);
      page.writeUInt32LE(item.key.length, start + 4);
      item.value.copy(page, start + 8);
    }
    data += item.key.copy(page, data);
    if (header.flags === FLAG.leaf) data += item.value.copy(page, data);
  }
}
