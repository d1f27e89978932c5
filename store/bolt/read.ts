import { StoreError } from '../error.ts';
import { BoltBucket } from './bucket.ts';
import {
  BUCKET_BYTES,
  BUCKET_ELEMENT,
  ELEMENT_BYTES,
  FLAG,
  HEADER_BYTES,
  type Meta,
  readHeader,
  readMeta,
  readPageId,
} from './format.ts';

/** A state of the database, and what stands where. */
export interface BoltState {
  readonly meta: Meta;
  readonly root: BoltBucket;
  /** Every page that this state needs, its freelist's too. The first two are not among them. */
  readonly used: ReadonlySet<number>;
  readonly freelistPages: readonly number[];
}

/** Deeper trees than this need more keys than there are atoms; a file that has one is made to exhaust us. */
const MAX_DEPTH = 64;
const MIN_PAGE_BYTES = 512;
const MAX_PAGE_BYTES = 2 ** 24;

/**
 * Reads the newest valid state of a database, every page of it. The recorded freelist is not believed: what the state
 * does not reach is free.
 * @throws StoreError `corrupt-store` for anything that bbolt would not have written
 */
export function readBoltState(file: Buffer): BoltState {
  const meta = newestMeta(file);
  const reader = new Reader(file, meta);
  const root = reader.bucketAt(meta.root, meta.sequence, 0);
  const freelistPages = meta.freelist === undefined ? [] : reader.claim(meta.freelist, FLAG.freelist);
  return { meta, root, used: reader.used, freelistPages };
}

function newestMeta(file: Buffer): Meta {
  const first = readMeta(file, 0);
  const pageSize = first?.pageSize ?? secondMetaPlace(file);
  const second = pageSize === undefined ? undefined : readMeta(file, pageSize);
  const newest = first && second && second.transaction > first.transaction ? second : (first ?? second);
  if (newest === undefined) throw corrupt('it has no valid meta page');
  const { end } = newest;
  const isSize = Number.isInteger(Math.log2(newest.pageSize)) && newest.pageSize >= MIN_PAGE_BYTES;
  if (!isSize || newest.pageSize > MAX_PAGE_BYTES) throw corrupt(`its pages have ${newest.pageSize} bytes`);
  if (!(end * newest.pageSize <= file.length)) throw corrupt(`it ends before its page ${end}`);
  return newest;
}

/** Where the first meta is damaged, the second tells by itself how long a page is. */
function secondMetaPlace(file: Buffer): number | undefined {
  for (let place = MIN_PAGE_BYTES; place <= MAX_PAGE_BYTES && place < file.length; place *= 2)
    if (readMeta(file, place)?.pageSize === place) return place;
  return undefined;
}

/** A bucket while its pages are read from left to right. */
interface Content {
  readonly entries: Map<string, Buffer | BoltBucket>;
  readonly pages: number[];
  lastKey: string;
}

const emptyContent = (): Content => ({ entries: new Map(), pages: [], lastKey: '' });

class Reader {
  readonly used = new Set<number>();
  readonly #file: Buffer;
  readonly #meta: Meta;
  /** Real elements lie beside each other; hostile ones that share their bytes could multiply without end. */
  #elementsLeft: number;

  constructor(file: Buffer, meta: Meta) {
    this.#file = file;
    this.#meta = meta;
    this.#elementsLeft = file.length / ELEMENT_BYTES;
  }

  bucketAt(root: number, sequence: bigint, depth: number): BoltBucket {
    const content = emptyContent();
    this.#tree(root, content, depth);
    return new BoltBucket(content.entries, { pages: content.pages, sequence });
  }

  /** Marks a page and what overflows from it as used by one owner alone. */
  claim(id: number, ...kinds: readonly number[]): number[] {
    const { pageSize, end } = this.#meta;
    if (!(id >= 2 && id < end)) throw corrupt(`it has no page ${id}`);
    const header = readHeader(this.#file, id * pageSize);
    if (header.id !== id || !kinds.includes(header.flags))
      throw corrupt(`page ${id} is not what is looked for there`);
    if (id + header.overflow >= end) throw corrupt(`page ${id} overflows the file`);
    const pages = Array.from({ length: header.overflow + 1 }, (_, index) => id + index);
    for (const page of pages) {
      if (this.used.has(page)) throw corrupt(`page ${page} belongs to two owners`);
      this.used.add(page);
    }
    return pages;
  }

  #tree(id: number, content: Content, depth: number): void {
    if (depth > MAX_DEPTH) throw corrupt('it is nested too deeply');
    const own = this.claim(id, FLAG.branch, FLAG.leaf);
    content.pages.push(...own);
    const { pageSize } = this.#meta;
    const page = this.#file.subarray(id * pageSize, (id + own.length) * pageSize);
    const { flags, count } = readHeader(page, 0);
    if (flags === FLAG.leaf) {
      this.#leaf(page, content, depth);
      return;
    }
    this.#elements(page, count);
    if (count === 0) throw corrupt(`branch page ${id} leads nowhere`);
    for (let index = 0; index < count; index += 1)
      this.#tree(readPageId(page, HEADER_BYTES + index * ELEMENT_BYTES + 8), content, depth + 1);
  }

  #leaf(page: Buffer, content: Content, depth: number): void {
    const { count } = readHeader(page, 0);
    this.#elements(page, count);
    for (let index = 0; index < count; index += 1) {
      const start = HEADER_BYTES + index * ELEMENT_BYTES;
      const keyStart = start + page.readUInt32LE(start + 4);
      const keyEnd = keyStart + page.readUInt32LE(start + 8);
      const valueEnd = keyEnd + page.readUInt32LE(start + 12);
      if (valueEnd > page.length) throw corrupt('a value reaches beyond its page');
      const key = page.toString('latin1', keyStart, keyEnd);
      if (key <= content.lastKey) throw corrupt('its keys are not in order');
      content.lastKey = key;
      const value = page.subarray(keyEnd, valueEnd);
      const isBucket = (page.readUInt32LE(start) & BUCKET_ELEMENT) !== 0;
      content.entries.set(key, isBucket ? this.#nested(value, depth + 1) : value);
    }
  }

  #nested(value: Buffer, depth: number): BoltBucket {
    if (value.length < BUCKET_BYTES) throw corrupt('a bucket is cut off');
    if (depth > MAX_DEPTH) throw corrupt('it is nested too deeply');
    const root = readPageId(value, 0);
    const sequence = value.readBigUInt64LE(8);
    if (root !== 0) return this.bucketAt(root, sequence, depth);
    const page = value.subarray(BUCKET_BYTES);
    if (page.length < HEADER_BYTES || readHeader(page, 0).flags !== FLAG.leaf)
      throw corrupt('an inline bucket is cut off');
    const content = emptyContent();
    this.#leaf(page, content, depth);
    return new BoltBucket(content.entries, { pages: [], sequence });
  }

  #elements(page: Buffer, count: number): void {
    this.#elementsLeft -= count;
    if (this.#elementsLeft < 0 || HEADER_BYTES + count * ELEMENT_BYTES > page.length)
      throw corrupt('a page has more elements than it has room for');
  }
}

function corrupt(reason: string): StoreError {
  return new StoreError('corrupt-store', reason);
}
