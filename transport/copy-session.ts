import type { Digest } from '../image/digest.ts';
import type { ManifestDocument } from '../image/manifest.ts';
import type { CompressionChoice } from './compress.ts';
import type {
  AdmissionPolicy,
  CopyCounts,
  ImageDestination,
  ImageSource,
  TransferEvent,
} from './contract.ts';
import type { CopyOptions } from './copy-options.ts';
import { Limit } from './limit.ts';

/** An image that the destination has now. */
export interface CopiedImage {
  readonly manifest: ManifestDocument;
  readonly digest: Digest;
}

const DEFAULT_PARALLEL = 6;

/** What all parts of one copy share. */
export class CopySession {
  readonly policy: AdmissionPolicy;
  readonly source: ImageSource;
  readonly destination: ImageDestination;
  readonly options: CopyOptions;
  readonly limit: Limit;
  #counts = { moved: 0, present: 0, mounted: 0, reused: 0, bytes: 0 };

  constructor(
    policy: AdmissionPolicy,
    source: ImageSource,
    destination: ImageDestination,
    options: CopyOptions,
  ) {
    this.policy = policy;
    this.source = source;
    this.destination = destination;
    this.options = options;
    this.limit = new Limit(
      Math.min(
        options.parallelBlobs ?? DEFAULT_PARALLEL,
        source.parallelBlobs ?? DEFAULT_PARALLEL,
        destination.parallelBlobs ?? DEFAULT_PARALLEL,
      ),
    );
  }

  /** The same copy for images whose layers are all to be compressed so. */
  compressing(format: CompressionChoice['format']): CopySession {
    const { policy, source, destination, options } = this;
    const manifests = format === 'gzip' ? {} : { format: 'oci' as const };
    const wishes = { ...options, ...manifests, compression: { format }, forceCompression: true };
    const other = new CopySession(policy, source, destination, wishes);
    other.#counts = this.#counts;
    return other;
  }

  get counts(): CopyCounts {
    return { ...this.#counts };
  }

  count(what: 'moved' | 'present' | 'mounted' | 'reused', bytes = 0): void {
    this.#counts[what] += 1;
    this.#counts.bytes += bytes;
  }

  report(event: TransferEvent): void {
    this.options.onProgress?.(event);
  }

  /** Says a line of Skopeo's plain output. */
  say(what: 'image' | 'manifest' | 'signatures', text: string): void {
    this.report({ type: 'started', what, text });
  }
}
