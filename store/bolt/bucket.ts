export type BoltKey = string | Uint8Array;

/**
 * A bucket in memory: keys with values, or with further buckets. Values are views of the file's bytes as they were
 * read; changes stay here until the transaction is written.
 */
export class BoltBucket {
  readonly #entries: Map<string, Buffer | BoltBucket>;
  #changed: boolean;
  /** The root page and every page that the bucket stands on; none for a bucket that is new or inline. */
  readonly pages: readonly number[];
  readonly sequence: bigint;

  constructor(
    entries: Map<string, Buffer | BoltBucket> = new Map(),
    place: { readonly pages: readonly number[]; readonly sequence: bigint } | undefined = undefined,
  ) {
    this.#entries = entries;
    this.#changed = place === undefined;
    this.pages = place?.pages ?? [];
    this.sequence = place?.sequence ?? 0n;
  }

  /** Undefined too where the key holds a bucket. */
  get(key: BoltKey): Buffer | undefined {
    const found = this.#entries.get(textOf(key));
    return found instanceof BoltBucket ? undefined : found;
  }

  /** @throws Error for an empty key and one that holds a bucket, which are mistakes of the caller */
  put(key: BoltKey, value: BoltKey): void {
    const text = textOf(key);
    if (text === '') throw new Error('a key of a bolt bucket may not be empty');
    if (this.#entries.get(text) instanceof BoltBucket) throw new Error('the key holds a bucket, not a value');
    this.#entries.set(text, Buffer.from(value as Uint8Array));
    this.#changed = true;
  }

  /** Does nothing where there is no such value. */
  delete(key: BoltKey): void {
    if (this.get(key) === undefined) return;
    this.#entries.delete(textOf(key));
    this.#changed = true;
  }

  /** Undefined too where the key holds a value. */
  bucket(key: BoltKey): BoltBucket | undefined {
    const found = this.#entries.get(textOf(key));
    return found instanceof BoltBucket ? found : undefined;
  }

  /** The bucket, made where it is missing. @throws Error where the key holds a value */
  ensureBucket(key: BoltKey): BoltBucket {
    const text = textOf(key);
    const found = this.#entries.get(text);
    if (found instanceof BoltBucket) return found;
    if (found !== undefined || text === '') throw new Error('the key holds a value, not a bucket');
    const made = new BoltBucket();
    this.#entries.set(text, made);
    this.#changed = true;
    return made;
  }

  /** In the order of the keys' bytes. */
  entries(): [Buffer, Buffer | BoltBucket][] {
    const sorted = [...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1));
    return sorted.map(([key, value]) => [Buffer.from(key, 'latin1'), value]);
  }

  isChanged(): boolean {
    if (this.#changed) return true;
    return this.#entries.values().some((value) => value instanceof BoltBucket && value.isChanged());
  }
}

/** One character for each byte, so that text compares as bytes do. */
function textOf(key: BoltKey): string {
  return Buffer.from(key as Uint8Array).toString('latin1');
}
