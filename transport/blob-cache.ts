import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isSystemError } from '../errors.ts';
import { type Digest, tryParseDigest } from '../image/digest.ts';
import { ImageError } from '../image/error.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../image/json.ts';
import { isRepositoryPath, type NamedReference } from '../image/reference.ts';
import { replaceFile } from './blob-file.ts';
import { withFileLock } from './file-lock.ts';

/**
 * What earlier copies learned about blobs. Only facts that this program verified itself over all bytes are recorded,
 * so that no source can plant a wrong one (SECURITY M11).
 */
export interface BlobCache {
  /** The plain digest of a compressed blob. */
  plainOf(digest: Digest): Digest | undefined;
  /** Compressed forms of a plain blob, the latest first. */
  compressedOf(plain: Digest): readonly KnownBlob[];
  recordPlain(compressed: KnownBlob, plain: Digest): void;
  /** Repositories of the registry `domain` that had the blob, the latest first. */
  locations(domain: string, digest: Digest): readonly NamedReference[];
  recordLocation(repository: NamedReference, digest: Digest): void;
  /** Writes what was recorded; a cache that cannot be written is no failure. */
  save(): Promise<void>;
}

export interface KnownBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly compression: 'gzip' | 'zstd';
}

const LIMIT_BYTES = 16 * 1024 * 1024;
const LIMIT_ENTRIES = 20_000;
const LIMIT_LOCATIONS = 8;

/**
 * A cache in a JSON file. A file that is missing or malformed counts as empty; entries that are malformed are
 * dropped.
 */
export async function openBlobCache(path: string): Promise<BlobCache> {
  return new BlobCacheFile(path, await read(path));
}

/** The same cache for one of many copies: whoever makes them saves it once. */
export function withoutSaving(cache: BlobCache): BlobCache {
  return {
    plainOf: (digest) => cache.plainOf(digest),
    compressedOf: (plain) => cache.compressedOf(plain),
    recordPlain: (compressed, plain) => cache.recordPlain(compressed, plain),
    locations: (domain, digest) => cache.locations(domain, digest),
    recordLocation: (repository, digest) => cache.recordLocation(repository, digest),
    save: async () => undefined,
  };
}

interface Facts {
  /** By compressed digest. */
  readonly plain: Map<string, KnownBlob & { readonly plain: Digest }>;
  /** By `domain digest`: repository paths. */
  readonly places: Map<string, readonly string[]>;
}

class BlobCacheFile implements BlobCache {
  readonly #path: string;
  readonly #facts: Facts;
  readonly #news: Facts = { plain: new Map(), places: new Map() };

  constructor(path: string, facts: Facts) {
    this.#path = path;
    this.#facts = facts;
  }

  plainOf(digest: Digest): Digest | undefined {
    return this.#facts.plain.get(digest)?.plain;
  }

  compressedOf(plain: Digest): readonly KnownBlob[] {
    return [...this.#facts.plain.values()].filter((blob) => blob.plain === plain).reverse();
  }

  recordPlain(compressed: KnownBlob, plain: Digest): void {
    const { digest, size, compression } = compressed;
    for (const facts of [this.#facts, this.#news])
      latest(facts.plain, digest, { digest, size, compression, plain });
  }

  locations(domain: string, digest: Digest): readonly NamedReference[] {
    return (this.#facts.places.get(`${domain} ${digest}`) ?? []).map((path) => ({ domain, path }));
  }

  recordLocation({ domain, path }: NamedReference, digest: Digest): void {
    const key = `${domain} ${digest}`;
    for (const { places } of [this.#facts, this.#news]) {
      const known = places.get(key) ?? [];
      latest(places, key, [path, ...known.filter((other) => other !== path)].slice(0, LIMIT_LOCATIONS));
    }
  }

  async save(): Promise<void> {
    if (this.#news.plain.size === 0 && this.#news.places.size === 0) return;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await withFileLock(`${this.#path}.lock`, async () => {
        const facts = await read(this.#path);
        for (const [key, value] of this.#news.plain) latest(facts.plain, key, value);
        for (const [key, value] of this.#news.places) latest(facts.places, key, value);
        await replaceFile(this.#path, Buffer.from(JSON.stringify(toJson(facts))), 0o600);
      });
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }
}

/** Sets an entry as the newest one. */
function latest<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
}

async function read(path: string): Promise<Facts> {
  try {
    const bytes = await readFile(path);
    return fromJson(parseJsonObject(bytes, { what: 'blob cache', limitBytes: LIMIT_BYTES }));
  } catch (error) {
    if (!isSystemError(error) && !(error instanceof ImageError)) throw error;
    return { plain: new Map(), places: new Map() };
  }
}

function toJson({ plain, places }: Facts): object {
  return {
    version: 1,
    plain: [...plain.values()].slice(-LIMIT_ENTRIES),
    places: [...places].slice(-LIMIT_ENTRIES).map(([key, paths]) => [key, ...paths]),
  };
}

function fromJson(json: JsonObject): Facts {
  const facts: Facts = { plain: new Map(), places: new Map() };
  if (json.version !== 1) return facts;
  for (const entry of Array.isArray(json.plain) ? json.plain : []) {
    const blob = knownBlob(entry);
    if (blob) facts.plain.set(blob.digest, blob);
  }
  for (const entry of Array.isArray(json.places) ? json.places : []) {
    if (!Array.isArray(entry)) continue;
    const [key, ...paths] = entry;
    const good = paths.filter((path) => typeof path === 'string' && isRepositoryPath(path)) as string[];
    if (typeof key === 'string' && good.length) facts.places.set(key, good);
  }
  return facts;
}

function knownBlob(entry: JsonValue): (KnownBlob & { readonly plain: Digest }) | undefined {
  if (!isJsonObject(entry)) return undefined;
  const digest = tryParseDigest(String(entry.digest));
  const plain = tryParseDigest(String(entry.plain));
  const { size, compression } = entry;
  if (!digest || !plain || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    return undefined;
  return compression === 'gzip' || compression === 'zstd' ? { digest, plain, size, compression } : undefined;
}
