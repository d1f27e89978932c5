import type { HistoryEntry, ImageConfig, RuntimeConfig } from '../../image/config.ts';
import type { Digest } from '../../image/digest.ts';
import type { Platform } from '../../image/platform.ts';
import type { IdMappings } from '../../store/layer/contract.ts';
import type { Store } from '../../store/storage/contract.ts';
import type { AdmissionPolicy, DockerAccess, ImageSigner, OnProgress } from '../../transport/contract.ts';
import type { IsolationKind } from '../run/contract.ts';
import type { AutomaticIds } from './automatic-ids.ts';

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

/** A history entry with the layer it stands for: a directory tree or a plain tar file, added to the image at commit time. */
export interface LinkedLayer {
  readonly history: HistoryEntry;
  /** Host path of a directory or of an uncompressed layer blob. */
  readonly path: string;
}

/** One namespace setting as buildah.json keeps it. */
export interface NamespaceOption {
  readonly Name: string;
  readonly Host: boolean;
  readonly Path: string;
}

/**
 * The state of a working container as buildah keeps it in the container's directory (`buildah.json`), so that the
 * original can go on with it. build/container/state.ts reads and writes it; field names in the file are buildah's.
 * Values are immutable: build/container/config.ts has the changes, {@link saveContainer} in state.ts writes one back.
 */
export interface WorkingContainer {
  readonly id: string;
  readonly name: string;
  readonly layerId: string;
  /** Reference the container was made from; empty for scratch. */
  readonly fromImage: string;
  readonly fromImageId: string;
  readonly fromImageDigest?: Digest;
  /** The base image's top layer; empty for scratch. */
  readonly topLayer: string;
  /** The base image's own manifest and config bytes; absent for scratch. */
  readonly sourceManifest?: Uint8Array;
  readonly sourceConfig?: Uint8Array;
  /** The config that a commit writes, in the OCI and in the Docker form; both are kept, as buildah does. History and diffIDs in them are the base image's. */
  readonly ociConfig: ImageConfig;
  readonly dockerConfig: ImageConfig;
  /** What `--format` said when the container was made; a commit may choose another. */
  readonly preferredFormat: 'oci' | 'docker';
  readonly annotations: Readonly<Record<string, string>>;
  /** `created_by` and `comment` of the history entry that a commit adds. */
  readonly createdBy: string;
  readonly historyComment: string;
  /** History entries without a layer, before and after the entry of the committed layer. */
  readonly prependedHistory: readonly HistoryEntry[];
  readonly appendedHistory: readonly HistoryEntry[];
  readonly prependedLayers: readonly LinkedLayer[];
  readonly appendedLayers: readonly LinkedLayer[];
  readonly mountPoint?: string;
  readonly processLabel?: string;
  readonly mountLabel?: string;
  readonly idMappings?: IdMappings;
  readonly isolation: IsolationKind;
  readonly namespaces: readonly NamespaceOption[];
  readonly network: 'default' | 'disabled' | 'enabled';
  readonly capabilities: readonly string[];
  readonly devices: readonly string[];
  /** Where CDI specifications are besides the system's. */
  readonly cdiDirectory?: string;
  readonly groupAdd: readonly string[];
  readonly args: Readonly<Record<string, string>>;
  readonly defaultMountsFile: string;
  readonly runOptions: RunOptions;
  /** Keys of buildah.json that this project does not interpret, kept as they are. */
  readonly rest: Readonly<Record<string, unknown>>;
}

/** `CommonBuildOpts` of buildah.json: what flags of `from` and `build` say about later RUNs. Names are the file's. */
export interface RunOptions {
  readonly AddHost?: readonly string[] | null;
  readonly CgroupParent?: string;
  readonly CPUPeriod?: number;
  readonly CPUQuota?: number;
  readonly CPUShares?: number;
  readonly CPUSetCPUs?: string;
  readonly CPUSetMems?: string;
  readonly HTTPProxy?: boolean;
  readonly Memory?: number;
  readonly DNSSearch?: readonly string[] | null;
  readonly DNSServers?: readonly string[] | null;
  readonly DNSOptions?: readonly string[] | null;
  readonly LabelOpts?: readonly string[] | null;
  readonly MemorySwap?: number;
  readonly NoHostname?: boolean;
  readonly NoHosts?: boolean;
  readonly NoNewPrivileges?: boolean;
  readonly SeccompProfilePath?: string;
  readonly ApparmorProfile?: string;
  /** As the flag was written: `65536k`. */
  readonly ShmSize?: string;
  readonly Ulimit?: readonly string[] | null;
  readonly Volumes?: readonly string[] | null;
  readonly Secrets?: readonly string[] | null;
  readonly SSHSources?: readonly string[] | null;
  readonly OCIHooksDir?: readonly string[] | null;
  readonly [key: string]: unknown;
}

export type PullPolicy = 'missing' | 'always' | 'never' | 'ifnewer';

/** Options of {@link WorkingContainer} creation: build/container/create.ts `createContainer`. */
export interface CreateWorkingContainerOptions {
  /** Name, id, transport reference (`oci:dir:tag`), or `scratch`. */
  readonly from: string;
  /** Default `missing`. */
  readonly pullPolicy?: PullPolicy;
  /** Of the container that is made; absent: a random one. 64 hexadecimal digits. */
  readonly id?: string;
  /** The container's exact name; absent: `<image>-<suffix>[-n]`. */
  readonly name?: string;
  /** Default `working-container`. */
  readonly suffix?: string;
  readonly format?: 'oci' | 'docker';
  /** Keep the base image's `org.opencontainers.image.base.*` annotations (a later stage of the same build). */
  readonly keepBaseAnnotations?: boolean;
  /** The image goes by its id: it is a step of the same build, whatever names others gave it. */
  readonly goesById?: boolean;
  /** `scratch` without the initial working directory `/` (`--compat-scratch-config`). */
  readonly bareScratchConfig?: boolean;
  readonly isolation?: IsolationKind;
  readonly namespaces?: readonly NamespaceOption[];
  readonly network?: 'default' | 'disabled' | 'enabled';
  readonly capabilities?: readonly string[];
  readonly devices?: readonly string[];
  /** `--cdi-config-dir`. */
  readonly cdiDirectory?: string;
  readonly groupAdd?: readonly string[];
  readonly args?: Readonly<Record<string, string>>;
  readonly runOptions?: RunOptions;
  readonly idMappings?: IdMappings;
  /** In place of {@link idMappings}: ids to be chosen when the container is made. */
  readonly automaticIds?: AutomaticIds;
  readonly defaultMountsFile?: string;
  readonly mountLabel?: string;
  readonly processLabel?: string;
  /** `--retry`, `--retry-delay` of a pull. */
  readonly retries?: number;
  readonly retryDelayMs?: number;
  readonly blobCacheDirectory?: string;
  readonly decryptionKeys?: readonly string[];
  /** The platform was asked for: a local image may only look right. */
  readonly customPlatform?: boolean;
  /** This machine's platform; see PullOptions. */
  readonly hostPlatform?: Platform;
  /** Where `Trying to pull …` goes. */
  readonly onStatus?: (text: string) => void;
  /** Told where the image is not for the platform of the surroundings; absent: not looked at. */
  readonly onOtherPlatform?: (text: string) => void;
}

/** Options of committing; those of `buildah commit` and of a build's last step. */
export interface CommitOptions {
  /** Default: the container's preferred format. */
  readonly format?: 'oci' | 'docker';
  /** Normalised names for a store destination; all are added. */
  readonly names?: readonly string[];
  readonly squash?: boolean;
  /** `--timestamp`: seconds since the epoch for `created`, history, and every file of new layers; host name and container id are left out. */
  readonly timestampSeconds?: number;
  /** `--source-date-epoch`: `created` and history only, unless {@link rewriteTimestamp}. */
  readonly sourceDateEpochSeconds?: number;
  /** Clamp the files of new layers to the source date epoch. */
  readonly rewriteTimestamp?: boolean;
  readonly omitTimestamp?: boolean;
  /** No layer for the container's changes, a history entry only. */
  readonly emptyLayer?: boolean;
  /** Neither a layer nor a history entry for the container's changes. */
  readonly omitLayerHistoryEntry?: boolean;
  readonly omitHistory?: boolean;
  /** New layers stand in the manifest gzip-compressed (`--disable-compression=false`). Default false. */
  readonly compressLayers?: boolean;
  /** Where copies of blobs are kept and looked for (`--blob-cache`), absolute. */
  readonly blobDirectory?: string;
  /** The container is not needed any more: its layer is moved into the image instead of copied. */
  readonly consumeContainer?: boolean;
  readonly signers?: readonly ImageSigner[];
  /** Kept with the image in storage: a digest of what its documents were written from. */
  readonly origin?: string;
  /** Called with the image's id before the image is made. */
  readonly onImage?: (id: string) => void;
  /** Tell `onProgress` what the image is made of, as copying it into the store would. */
  readonly reportsCopy?: boolean;
  readonly unsetEnvironment?: readonly string[];
  readonly annotations?: readonly string[];
  readonly unsetAnnotations?: readonly string[];
  /** `--created-annotation`; default true. */
  readonly createdAnnotation?: boolean;
  /** Applied to the OCI and Docker runtime configs just before they are written (`--change`, `--config`). */
  readonly changeConfig?: (config: RuntimeConfig) => RuntimeConfig;
  readonly prependedLayers?: readonly LinkedLayer[];
  readonly appendedLayers?: readonly LinkedLayer[];
  /** Extra files for the new layer: image path to host file (`--add-file`); owned by 0:0, mode 0644. */
  readonly extraFiles?: Readonly<Record<string, string>>;
  /** Docker format: set `parent` as the classic builder did. */
  readonly setParent?: boolean;
  /** Leave /dev, /proc and /sys out of the layer as the classic builder did. */
  readonly classicOmissions?: boolean;
  /** Paths that a RUN made as mount targets and that must not be committed. */
  readonly excludePaths?: readonly string[];
}

export interface CommitResult {
  /** Hex of the config digest; the id in the store. */
  readonly imageId: string;
  readonly manifest: Uint8Array;
  readonly mediaType: string;
  readonly digest: Digest;
  /** `name@digest` where the destination has a name. */
  readonly canonicalName?: string;
  /** The store layer that was made of the container's changes; absent with emptyLayer or another destination. */
  readonly topLayer?: string;
}
