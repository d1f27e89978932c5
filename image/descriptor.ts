import type { Digest } from './digest.ts';
import type { Platform } from './platform.ts';

export type Annotations = Readonly<Record<string, string>>;

/** OCI image-spec v1.1 descriptor.md: what a piece of content is, by digest and size in bytes. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes; -1 only where a transport cannot tell before reading (schema 1 layers). */
  readonly size: number;
  readonly urls?: readonly string[];
  readonly annotations?: Annotations;
  /** Base64 of the content itself, when embedded. */
  readonly data?: string;
  readonly platform?: Platform;
  readonly artifactType?: string;
}
