import type { EmbeddedContent } from './tar-split-format.ts';
import type { UnpackSettings } from './unpack.ts';

interface Counts {
  readonly contentBytes: number;
  readonly uids: number[];
  readonly gids: number[];
}
interface Hashed extends Counts {
  /** sha256 in hex. */
  readonly diffId: string;
  readonly sizeBytes: number;
}

/** What a layer worker can do: arguments and results, which pass between threads as plain data. */
export interface JobMap {
  readonly apply: {
    readonly args: { readonly root: string; readonly settings: UnpackSettings };
    readonly result: Hashed & { readonly replaced: EmbeddedContent[] };
  };
  /** Compresses to zstd:chunked; gives the annotations. */
  readonly chunk: { readonly args: { readonly level: number }; readonly result: Record<string, string> };
  readonly remove: { readonly args: { readonly path: string }; readonly result: void };
}
export type JobName = keyof JobMap;

export interface JobRequest<Name extends JobName = JobName> {
  readonly name: Name;
  readonly args: JobMap[Name]['args'];
}

/** An error on its way from a worker. */
export type JobError =
  | { readonly kind: 'closed'; readonly message: string }
  | {
      readonly kind: 'slipway';
      readonly code: string;
      readonly message: string;
      readonly hint: string | undefined;
      readonly facts: Record<string, unknown>;
    }
  | {
      readonly kind: 'other';
      readonly message: string;
      readonly code: string | undefined;
      readonly errno: number | undefined;
      readonly syscall: string | undefined;
      readonly path: string | undefined;
      readonly stack: string | undefined;
    };

/** What a worker says: pieces of tar-split text, and in the end a result or an error. */
export type JobMessage =
  | { readonly text: Uint8Array<ArrayBuffer> }
  | { readonly result: unknown }
  | { readonly error: JobError };
