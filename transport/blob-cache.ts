import type { Digest } from '../image/digest.ts';
import type { NamedReference } from '../image/reference.ts';

/**
 * What earlier copies learned about blobs. Only facts that this program verified itself over all bytes are recorded,
 * so that no source can plant a wrong one (SECURITY M11).
 */
export interface BlobCache {
  /** The plain digest of a compressed blob. */
  plainOf(digest: Digest): Digest | undefined;
  /** Compressed forms of a plain blob. */
  compressedOf(plain: Digest): readonly KnownBlob[];
  recordPlain(compressed: KnownBlob, plain: Digest): void;
  /** Repositories of the registry `domain` that had the blob, the latest first. */
  locations(domain: string, digest: Digest): readonly NamedReference[];
  recordLocation(repository: NamedReference, digest: Digest): void;
  /** Writes what was recorded; never fails for a cache that cannot be written. */
  save(): Promise<void>;
}

export interface KnownBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly compression: 'gzip' | 'zstd';
}
