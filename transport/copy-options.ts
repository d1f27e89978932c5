import type { Annotations, Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import type { ManifestDocument } from '../image/manifest.ts';
import type { Platform } from '../image/platform.ts';
import type { NamedReference } from '../image/reference.ts';
import type { BlobStream } from '../store/blob/contract.ts';
import type { BlobCache } from './blob-cache.ts';
import type { CompressionChoice } from './compress.ts';
import type { CopyCounts, ImageSigner, OnProgress, ReferrerCounts, TransportContext } from './contract.ts';
import type { ManifestRequest } from './plan.ts';
import type { Turns } from './turns.ts';

/** Which images of an index are copied: `system`: the one for the context's platform, alone. */
export type IndexSelection =
  | 'system'
  | 'all'
  | 'index-only'
  | { readonly digests?: readonly Digest[]; readonly platforms?: readonly Platform[] };

/** How {@link copyImage} copies; every field but the contexts may be absent. */
export interface CopyOptions {
  readonly source: TransportContext;
  readonly destination: TransportContext;
  /** Default `system`. */
  readonly select?: IndexSelection;
  /** What becomes of an index of which only some images are copied; default `keep`. */
  readonly sparse?: 'keep' | 'strip';
  readonly format?: ManifestRequest;
  /** Fail rather than change a manifest. */
  readonly preserveDigests?: boolean;
  readonly removeSignatures?: boolean;
  /** Drop the signatures of the index, keep those of its images. */
  readonly removeListSignatures?: boolean;
  readonly signers?: readonly ImageSigner[];
  /** The name that is signed; default: the destination's. */
  readonly signIdentity?: NamedReference;
  /** Of layers that get compressed; where it is given, layers compressed otherwise are compressed anew. */
  readonly compression?: CompressionChoice;
  /** Of layers that get compressed where {@link compression} is absent. */
  readonly compressionLevel?: number;
  /** Never use a layer of another compression that the destination has. */
  readonly forceCompression?: boolean;
  /** An index gets every image in these formats too, each marked as such. */
  readonly addCompressions?: readonly CompressionChoice['format'][];
  readonly downloadForeignLayers?: boolean;
  /** Layer positions to encrypt, negative from the top; empty: all. */
  readonly encryptLayers?: readonly number[];
  readonly encryptor?: LayerEncryptor;
  readonly decryptor?: LayerDecryptor;
  /** Copy what refers to the image too; absent: not. */
  readonly referrers?: ReferrerSelection;
  /** Blobs moved at once; default 6. */
  readonly parallelBlobs?: number;
  /** What is known of blobs elsewhere; default: nothing. */
  readonly blobCache?: BlobCache;
  /** Shared by copies at once, so that a blob that several of them have moves once; default: each for itself. */
  readonly turns?: Turns;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Which referrers go along. */
export interface ReferrerSelection {
  /** Only these artifact types; absent: all. */
  readonly artifactTypes?: readonly string[];
}

/** Encrypts layers as ocicrypt; transport/encrypt makes one. */
export interface LayerEncryptor {
  /** `annotations` are known when the stream has ended. */
  encrypt(
    plain: BlobStream,
    layer: Descriptor,
  ): Promise<{ readonly blob: BlobStream; readonly annotations: () => Annotations }>;
}

export interface LayerDecryptor {
  /** @throws when no key fits */
  decrypt(encrypted: BlobStream, layer: Descriptor): Promise<BlobStream>;
}

export interface CopyResult {
  /** The manifest or index that the destination has now. */
  readonly manifest: ManifestDocument;
  readonly digest: Digest;
  /** Images copied: 1, or those of an index. */
  readonly images: number;
  readonly counts: CopyCounts;
  /** Set where referrers were asked for. */
  readonly referrers?: ReferrerCounts;
}
