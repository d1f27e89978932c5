import type { Writable } from 'node:stream';
import type { HistoryEntry, ImageConfig } from '../../image/config.ts';
import type { Digest } from '../../image/digest.ts';
import type { Platform } from '../../image/platform.ts';
import type { IdMappings } from '../../store/layer/contract.ts';
import type { Store } from '../../store/storage/contract.ts';
import type { AdmissionPolicy, DockerAccess, ImageSigner, OnProgress } from '../../transport/contract.ts';

/** What every operation on working containers is given by its caller; nothing is read from the environment below. */
export interface BuildSurroundings {
  readonly store: Store;
  readonly docker: DockerAccess;
  readonly policy: AdmissionPolicy;
  readonly temporaryDirectory: string;
  readonly workingDirectory: string;
  readonly platform: Platform;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Seconds since the epoch for `now`; SOURCE_DATE_EPOCH and --timestamp arrive here. */
  readonly now: () => Date;
  readonly onProgress?: OnProgress;
  readonly onWarning?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * The state of a working container as buildah keeps it in the container's directory (`buildah.json`), so that the
 * original can go on with it. build/container/state.ts reads and writes it; field names in the file are buildah's.
 */
export interface WorkingContainer {
  readonly id: string;
  readonly name: string;
  readonly layerId: string;
  /** Reference the container was made from; empty for scratch. */
  readonly fromImage: string;
  readonly fromImageId: string;
  readonly fromImageDigest?: Digest;
  /** The config that a commit writes, in the OCI and in the Docker form; both are kept, as buildah does. */
  readonly ociConfig: ImageConfig;
  readonly dockerConfig: ImageConfig;
  readonly preferredFormat: 'oci' | 'docker';
  readonly annotations: Readonly<Record<string, string>>;
  readonly history: readonly HistoryEntry[];
  readonly mountPoint?: string;
  readonly processLabel?: string;
  readonly mountLabel?: string;
  readonly idMappings?: IdMappings;
}

/** Options of committing; those of `buildah commit` and of a build's last step. */
export interface CommitOptions {
  readonly format: 'oci' | 'docker';
  /** Destination names, normalised; the first becomes the image's name, all are added. */
  readonly names?: readonly string[];
  readonly squash?: boolean;
  /** Seconds since the epoch for created and every file of the new layer. */
  readonly timestampSeconds?: number;
  readonly clampSeconds?: number;
  readonly omitTimestamp?: boolean;
  readonly emptyLayer?: boolean;
  readonly historyEntries?: readonly HistoryEntry[];
  readonly signers?: readonly ImageSigner[];
  readonly iidFile?: string;
  readonly quiet?: boolean;
  readonly report?: Writable;
}
