import type { Descriptor } from '../image/descriptor.ts';
import type { Digest } from '../image/digest.ts';
import type { ManifestDocument } from '../image/manifest.ts';
import type { Compression } from '../image/media-type.ts';
import type { Platform } from '../image/platform.ts';
import type { NamedReference } from '../image/reference.ts';
import type { BlobStream } from '../store/blob/contract.ts';
import type { Store } from '../store/storage/contract.ts';

export const TRANSPORTS = [
  'docker',
  'oci',
  'oci-archive',
  'dir',
  'docker-archive',
  'docker-daemon',
  'containers-storage',
  'tarball',
  'sif',
] as const;
export type TransportName = (typeof TRANSPORTS)[number];

/** Where an image is or shall be. Parsing touches nothing; only opening does. */
export interface ImageReference {
  readonly transport: TransportName;
  /** The text behind the first colon, canonical as containers/image's StringWithinTransport: `//docker.io/library/alpine:latest`. */
  readonly within: string;
  /** The docker-style name this reference stands for; undefined where there is none. */
  readonly named?: NamedReference;
  /** The scope that policy.json looks up first (PolicyConfigurationIdentity); empty when none applies. */
  readonly policyIdentity: string;
  /** Wider scopes, most specific first (PolicyConfigurationNamespaces). */
  readonly policyNamespaces: readonly string[];
  openSource(context: TransportContext): Promise<ImageSource>;
  openDestination(context: TransportContext): Promise<ImageDestination>;
}

/** A reference whose image can be removed. */
export interface DeletableReference extends ImageReference {
  deleteImage(context: TransportContext): Promise<void>;
}

/** What opening a reference needs from its surroundings, one part for each transport. Nothing here is read from the environment below `bin/` and `config/`. */
export interface TransportContext {
  /** The platform chosen from an index. */
  readonly platform: Platform;
  /** Existing directory for big temporary files. */
  readonly temporaryDirectory: string;
  readonly signal?: AbortSignal;
  /** Warnings for people; default: dropped. */
  readonly onWarning?: (text: string) => void;
  readonly docker?: DockerAccess;
  readonly daemon?: DaemonAccess;
  /** Opened when first needed; containers-storage references without a store part use it. */
  readonly openStore?: (location?: StorageLocation) => Promise<Store>;
  /** `--src-shared-blob-dir`, `--dest-shared-blob-dir`: blobs of oci layouts. */
  readonly ociSharedBlobDirectory?: string;
  /** `--dest-oci-accept-uncompressed-layers`. */
  readonly ociAcceptUncompressedLayers?: boolean;
  /** `--dest-compress`, `--dest-decompress`: what a `dir:` destination wants layers to be; absent: as they come. */
  readonly directoryLayerCompression?: 'compress' | 'decompress';
  /** docker-archive and docker-daemon: extra tags for the image that is written. */
  readonly additionalTags?: readonly NamedReference[];
}

/** The bracketed part of `containers-storage:[driver@graphRoot+runRoot:options]reference`. */
export interface StorageLocation {
  readonly driver?: string;
  readonly graphRoot?: string;
  readonly runRoot?: string;
  readonly options?: readonly string[];
}

/** Access to registries: everything that flags and config files say about it. Detailed in transport/docker/access.ts. */
export interface DockerAccess {
  /** Explicit `--creds`; wins over {@link DockerAccess.authFile}. `none` sends no credentials at all (`--no-creds`). */
  readonly credentials?: { readonly username: string; readonly password: string } | 'none';
  /** `--registry-token`: sent as bearer token as it is. */
  readonly bearerToken?: string;
  /** Path of auth.json; absent: the default places. */
  readonly authFile?: string;
  /** `--compat-auth-file`: a Docker config.json instead of {@link DockerAccess.authFile}. */
  readonly dockerConfigFile?: string;
  /** A directory with `*.crt`, `*.cert`, `*.key`; absent: certs.d. */
  readonly certificateDirectory?: string;
  /** Absent: as registries.conf says for the host. False also allows plain http. */
  readonly tlsVerify?: boolean;
  /** Path of registries.conf; absent: the default places. */
  readonly registriesFile?: string;
  /** Directory of registries.conf drop-ins; absent: the default places. */
  readonly registriesDropInDirectory?: string;
  /** Where chosen short names are remembered (`--short-name-alias-conf`); absent: the user's cache. */
  readonly shortNameAliasFile?: string;
  /** Directory of registries.d (lookaside signatures); absent: the default places. */
  readonly registriesDirectory?: string;
  readonly certsDirectories?: readonly string[];
  readonly userAgent?: string;
  /** Environment that credential helpers, proxies and default paths are read from. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Limit of retries of one request after 429, 5xx and dropped connections; default 3 beyond what `--retry-times` repeats. */
  readonly requestRetries?: number;
  /** First pause between retries in milliseconds, doubled each time; default 500. */
  readonly retryDelayMs?: number;
  /** Milliseconds without a byte before a body counts as stalled; default 60,000. */
  readonly stallTimeoutMs?: number;
  /** Where interrupted downloads and uploads are journalled; absent: no journal. */
  readonly journalDirectory?: string;
  /** `--dest-precompute-digests`. */
  readonly precomputeDigests?: boolean;
}

export interface DaemonAccess {
  /** `unix:///var/run/docker.sock` or `tcp://host:port`; absent: that unix socket. */
  readonly host?: string;
  readonly certificateDirectory?: string;
  readonly tlsVerify?: boolean;
}

/**
 * One signature as a transport carries it: an OpenPGP simple signature (its raw bytes), or a sigstore one
 * (payload, annotations and media type), as containers/image's internal/signature.
 */
export type StoredSignature =
  | { readonly kind: 'simple'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'sigstore';
      readonly mediaType: string;
      readonly payload: Uint8Array;
      readonly annotations: Readonly<Record<string, string>>;
    };

/** Reading side. Manifests and signatures are unverified as they come; {@link getBlob} streams are verified by the copy engine. */
export interface ImageSource extends AsyncDisposable {
  readonly reference: ImageReference;
  /** The top-level manifest, or the child of an index that `instance` names. At most 4 MiB. */
  getManifest(instance?: Digest): Promise<ManifestDocument>;
  /**
   * The blob's bytes as stored, from `offset` where given (only when {@link canRead} says ranges work). With `keep`
   * false a source that keeps the bytes of interrupted transfers for the next one need not: they are kept elsewhere.
   */
  getBlob(
    descriptor: Descriptor,
    options?: { readonly offset?: number; readonly keep?: boolean; readonly signal?: AbortSignal },
  ): Promise<BlobStream>;
  getSignatures(instance?: Digest): Promise<readonly StoredSignature[]>;
  /** How many blobs may be read at once; 1 for sequential archives. Default 6. */
  readonly parallelBlobs?: number;
  /**
   * The layers as this source can give them where they differ from the manifest (containers-storage gives plain
   * tar): same order and count as the manifest's layers. Undefined: as the manifest says.
   */
  layersForCopy?(instance?: Digest): Promise<readonly Descriptor[] | undefined>;
  /** True where what {@link layersForCopy} says of media types shall not change the manifest of a copy. Default false. */
  readonly manifestStays?: boolean;
  /** Opens the image once more, also after disposal, with the manifest that was read already. */
  again?(context: TransportContext): Promise<ImageSource>;
}

/** A source that can list the tags of its repository. */
export interface TagLister {
  listTags(options?: { readonly signal?: AbortSignal }): Promise<readonly string[]>;
}

/** A source that knows OCI referrers of a digest (API, else tag fallback). */
export interface ReferrerLister {
  listReferrers(
    subject: Digest,
    options?: { readonly artifactType?: string; readonly signal?: AbortSignal },
  ): Promise<readonly Descriptor[]>;
}

/** Guidance for one blob that is about to be put. */
export interface PutBlobOptions {
  /** True where this is the image's config, not a layer. */
  readonly isConfig: boolean;
  /** Position among the image's layers, base first; undefined for configs. */
  readonly layerIndex?: number;
  /** The plain digest of a layer where the config was already read. */
  readonly diffId?: Digest;
  /**
   * The stream starts at this byte of the blob, since {@link ResumableDestination.uploadedBytes} said that those before
   * are there already. Default 0.
   */
  readonly offset?: number;
  /** True where the stream itself fails before its end unless it is what the descriptor says: no need to hash it again. */
  readonly verified?: boolean;
  /** True for a layer that changes nothing (schema 1 throwaway layers). */
  readonly emptyLayer?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Writing side. Call order: blobs (any order, in parallel up to {@link parallelBlobs}), manifests (children before
 * their index), signatures, then {@link commit} once. Disposing without commit discards; nothing is visible before.
 */
export interface ImageDestination extends AsyncDisposable {
  readonly reference: ImageReference;
  /** Media types of manifests it takes, the preferred first; empty: any. */
  readonly manifestTypes: readonly string[];
  readonly acceptsIndexes: boolean;
  /** What it wants layers to be: registries want compressed ones, docker-archive plain ones. */
  readonly layerCompression: 'preserve' | 'compress' | 'decompress';
  /** False for docker-archive: non-distributable layers' urls cannot be kept. */
  readonly acceptsForeignLayers: boolean;
  /** The signature kinds it can hold; empty: none. */
  readonly signatureKinds: readonly StoredSignature['kind'][];
  /** Default 6; 1 for sequential archives. */
  readonly parallelBlobs?: number;
  /** Set where manifests must be of one certain digest (reference with a digest). */
  readonly requiredDigest?: Digest;
  /** True where the reference's name stands inside the manifest (schema 1), so that copying may have to rewrite it. */
  readonly embedsName?: boolean;
  /**
   * True when the blob is there afterwards without moving bytes: present already, mounted from `candidates`
   * (repositories of the same registry that may have it), or an equal layer. The descriptor may differ in compression
   * when `options.substitute` allows it.
   */
  tryReuseBlob(
    descriptor: Descriptor,
    options: PutBlobOptions & {
      readonly substitute?: boolean;
      readonly candidates?: readonly NamedReference[];
      readonly compression?: Compression;
    },
  ): Promise<{ readonly descriptor: Descriptor; readonly how: 'present' | 'mounted' | 'reused' } | undefined>;
  /**
   * Takes the bytes. `descriptor.digest` is undefined when it is known only afterwards; when it is known the bytes
   * must match it, else the call throws `digest-mismatch` and the blob does not become visible.
   */
  putBlob(
    blob: BlobStream,
    descriptor: Omit<Descriptor, 'digest' | 'size'> & { readonly digest?: Digest; readonly size?: number },
    options: PutBlobOptions,
  ): Promise<{ readonly digest: Digest; readonly size: number }>;
  /** `instance` is set for the child of an index. */
  putManifest(bytes: Uint8Array, mediaType: string, instance?: Digest): Promise<void>;
  putSignatures(signatures: readonly StoredSignature[], instance?: Digest): Promise<void>;
  /** Takes the index that a single image was found in, where the destination keeps it beside the image (containers-storage). */
  keepIndex?(index: ManifestDocument): Promise<void>;
  commit(options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/** A destination that takes bytes of its own accord from where an earlier transfer stopped. */
export interface ResumableDestination {
  /** True where those bytes lie on this machine's disk: the source need not keep them there a second time. */
  readonly keepsBytes?: boolean;
  /** Bytes of this blob that are already there from an interrupted upload; 0: none. */
  uploadedBytes(digest: Digest): Promise<number>;
}

/** A destination that is written as a whole, and takes what refers to its image before {@link ImageDestination.commit}. */
export interface CompanionHolder {
  /** After the image's manifest was put: where further images of the same whole go. */
  companions(options?: { readonly signal?: AbortSignal }): Promise<ImageReference>;
}

/** An image whose signatures were not checked; what a policy looks at. */
export interface UnverifiedImage {
  readonly reference: ImageReference;
  readonly manifest: ManifestDocument;
  signatures(): Promise<readonly StoredSignature[]>;
}

/** Decides whether an image may be read; sign/policy makes one from policy.json. */
export interface AdmissionPolicy {
  /** Throws before anything is read or written where the policy that somebody chose is unusable. */
  prepare?(): Promise<void>;
  /** @throws a rejection with the reason; returns when every requirement holds. */
  admit(image: UnverifiedImage): Promise<void>;
}

/** Makes one signature over a manifest for a name; sign/ makes them. */
export interface ImageSigner {
  readonly kind: StoredSignature['kind'];
  /** Throws before anything is pushed when the key or passphrase is unusable. */
  prepare(): Promise<void>;
  sign(manifest: Uint8Array, identity: NamedReference): Promise<StoredSignature>;
}

/** What became of the blobs of a copy. */
export interface CopyCounts {
  readonly moved: number;
  readonly present: number;
  readonly mounted: number;
  readonly reused: number;
  /** Bytes written to the destination. */
  readonly bytes: number;
}

/** What became of referrers. */
export interface ReferrerCounts {
  readonly copied: number;
  readonly present: number;
  /** The destination cannot hold them. */
  readonly unsupported: number;
}

/** Typed progress of long operations. */
export type TransferEvent =
  | {
      readonly type: 'started';
      readonly what: 'blob' | 'config' | 'manifest' | 'signatures' | 'image';
      readonly descriptor?: Descriptor;
      readonly text?: string;
    }
  | {
      readonly type: 'advanced';
      readonly descriptor: Descriptor;
      readonly bytes: number;
      readonly totalBytes?: number;
    }
  | {
      readonly type: 'done';
      readonly what: 'blob' | 'config' | 'manifest' | 'signatures' | 'image';
      readonly descriptor?: Descriptor;
      readonly text?: string;
    }
  | { readonly type: 'skipped'; readonly descriptor: Descriptor; readonly reason: string }
  | { readonly type: 'mounted'; readonly descriptor: Descriptor; readonly from?: string }
  | {
      /** The end of a copy: what the destination has now, and how it came there. */
      readonly type: 'copied';
      readonly source: string;
      readonly destination: string;
      readonly digest: Digest;
      readonly images: number;
      readonly counts: CopyCounts;
      readonly referrers?: ReferrerCounts;
    }
  | { readonly type: 'retried'; readonly what: string; readonly attempt: number; readonly reason: string }
  | { readonly type: 'warned'; readonly text: string };

export type OnProgress = (event: TransferEvent) => void;

export function listsTags(source: object): source is TagLister {
  return typeof (source as Partial<TagLister>).listTags === 'function';
}

export function listsReferrers(source: object): source is ReferrerLister {
  return typeof (source as Partial<ReferrerLister>).listReferrers === 'function';
}

export function holdsCompanions(destination: object): destination is CompanionHolder {
  return typeof (destination as Partial<CompanionHolder>).companions === 'function';
}

export function isDeletable(reference: ImageReference): reference is DeletableReference {
  return typeof (reference as Partial<DeletableReference>).deleteImage === 'function';
}
