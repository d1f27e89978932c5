import type { Readable } from 'node:stream';
import type { HistoryEntry } from '../../image/config.ts';
import type { Platform } from '../../image/platform.ts';
import type { ImageSigner } from '../../transport/contract.ts';
import type { CopyStoredOptions } from '../commit/copy-stored.ts';
import type { CreateWorkingContainerOptions, PullPolicy } from '../container/contract.ts';
import type { IsolationKind, ResourceLimits, RunRequest } from '../run/contract.ts';
import type { SbomOptions } from '../sbom/options.ts';
import type { OnBuildEvent } from './events.ts';
import type { OutputTarget } from './log.ts';
import type { ResourceLog } from './resource-log.ts';
import type { SourceRule } from './source-policy.ts';
import type { OnStepInputs } from './step-inputs.ts';

/** One `-f` file, read already. Several go on where the one before ends. */
export interface ContainerfileText {
  /** As it is named in messages. */
  readonly name: string;
  readonly text: string;
  /** Host path, for `<name>.dockerignore` beside it; absent for stdin and URLs. */
  readonly path?: string;
}

/** `--build-context name=…`. */
export type AdditionalContext =
  | { readonly kind: 'image'; readonly reference: string }
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string };

/** A secret of `--secret`: a file, or the value of a variable, read when a RUN wants it. */
export interface SecretSource {
  readonly kind: 'file' | 'env';
  readonly value: string;
}

/** `--ssh id[=socket|key,key…]`. */
export interface SshSource {
  /** Agent socket, or private key files. */
  readonly paths: readonly string[];
}

/** How every RUN is isolated; the flags of `buildah build` and `from`. */
export interface RunSettings {
  readonly isolation: IsolationKind;
  readonly runtime?: string;
  readonly runtimeFlags?: readonly string[];
  readonly namespaces?: RunRequest['namespaces'];
  readonly network: RunRequest['network'];
  readonly dns?: RunRequest['dns'];
  readonly hostEntries?: readonly { readonly name: string; readonly address: string }[];
  readonly noHosts?: boolean;
  readonly noHostname?: boolean;
  readonly baseHostsFile?: string;
  /** Of `host.containers.internal`, or `none` (containers.conf). */
  readonly hostAddress?: string;
  /** The container's name is the host name where the image gives none (containers.conf). */
  readonly nameAsHostname?: boolean;
  readonly capabilitiesAdd: readonly string[];
  readonly capabilitiesDrop: readonly string[];
  readonly defaultCapabilities?: readonly string[];
  readonly securityOptions?: readonly string[];
  readonly devices?: readonly string[];
  /** Directories of CDI specifications, weakest first; absent: the system's. */
  readonly cdiDirectories?: readonly string[];
  readonly limits?: ResourceLimits;
  /** `name=value`. */
  readonly sysctls?: readonly string[];
  /** `--default-mounts-file`; absent: the system's. */
  readonly mountsFiles?: readonly string[];
  readonly hooksDirectories?: readonly string[];
  readonly groupAdd?: readonly string[];
  /** `--volume` of the command line: `host:container[:options]`. */
  readonly volumes?: readonly string[];
  /** `--mount` of the command line: added to every RUN. */
  readonly mounts?: readonly string[];
  /** Pass the proxy variables of {@link hostEnvironment} on. Default true. */
  readonly httpProxy?: boolean;
  readonly hostEnvironment: Readonly<Record<string, string | undefined>>;
  /** Kept in the container's state file. */
  readonly stored?: Pick<
    CreateWorkingContainerOptions,
    'namespaces' | 'idMappings' | 'automaticIds' | 'runOptions'
  >;
}

/** Where the result's files go besides the store: `--output`. */
export interface BuildOutput {
  readonly type: 'local' | 'tar';
  /** Absolute path; `-` writes a tar to {@link BuildOptions.stdout}. */
  readonly path: string;
}

/** One build of one platform. */
export interface BuildOptions {
  /** Absolute and without symbolic links. */
  readonly contextDirectory: string;
  /** What messages call it. Default: the directory. */
  readonly contextName?: string;
  readonly files: readonly ContainerfileText[];
  /** `--ignorefile`, else found beside the Containerfile and in the context. */
  readonly ignoreFile?: string;
  readonly arguments: ReadonlyMap<string, string>;
  readonly target: string;
  readonly contexts: ReadonlyMap<string, AdditionalContext>;
  readonly fromOverride?: string;

  /** The platform of the image that is built, and whether the user chose it. */
  readonly platform: Platform;
  readonly buildPlatform: Platform;
  readonly platformGiven: boolean;
  readonly osVersion?: string;
  /** A trailing `-` removes one. */
  readonly osFeatures?: readonly string[];

  /** One image for each step, used again by later builds. */
  readonly layers: boolean;
  readonly useCache: boolean;
  readonly cacheTtlMs?: number;
  readonly cacheFrom?: readonly string[];
  readonly cacheTo?: readonly string[];

  readonly format: 'oci' | 'docker';
  /** The first name may have a transport; the others are tags in the store. */
  readonly output: string;
  readonly additionalTags: readonly string[];
  readonly signers?: readonly ImageSigner[];
  /** Of layers that leave local storage. */
  /** New layers stand in the manifest gzip-compressed (`--disable-compression=false`). Default false. */
  readonly compressLayers?: boolean;
  readonly copy?: Pick<CopyStoredOptions, 'compression' | 'forceCompression' | 'layers'>;
  /** Where copies of blobs are kept and looked for (`--blob-cache`), absolute. */
  readonly blobDirectory?: string;
  readonly squash?: boolean;
  readonly timestampSeconds?: number;
  readonly sourceDateEpochSeconds?: number;
  readonly rewriteTimestamp?: boolean;
  readonly omitHistory?: boolean;

  readonly labels?: readonly string[];
  readonly layerLabels?: readonly string[];
  readonly annotations?: readonly string[];
  readonly environment?: readonly string[];
  readonly unsetEnvironment?: readonly string[];
  readonly unsetLabels?: readonly string[];
  readonly unsetAnnotations?: readonly string[];
  readonly inheritLabels?: boolean;
  readonly inheritAnnotations?: boolean;
  readonly createdAnnotation?: boolean;
  /** `io.buildah.version`; absent: unless a timestamp is given. */
  readonly identityLabel?: boolean;
  readonly builderVersion: string;
  readonly stageLabels?: boolean;
  readonly saveStages?: boolean;
  readonly skipUnusedStages?: boolean;

  readonly pullPolicy: PullPolicy;
  readonly retries?: number;
  readonly retryDelayMs?: number;
  readonly decryptionKeys?: readonly string[];

  /**
   * Stages at once, 0 for all, their output as it comes. Absent: as many as there are cores, at least four, with the
   * output of one stage behind that of the other.
   */
  readonly jobs?: number;
  /** Every line of output stands behind its stage's mark, `[1/3] `: for stages that run at once. Default false. */
  readonly prefixOutput?: boolean;
  /** Remove working containers of steps that succeeded; default true. */
  readonly removeIntermediate?: boolean;
  /** Keep the working container of a step that fails, as the steps before it left it or further; default false. */
  readonly keepFailed?: boolean;
  readonly compatVolumes?: boolean;
  readonly compatScratchConfig?: boolean;
  readonly compatLayerOmissions?: boolean;
  readonly compatSetParent?: boolean;

  readonly secrets?: ReadonlyMap<string, SecretSource>;
  readonly ssh?: ReadonlyMap<string, SshSource>;
  readonly entitlements?: readonly string[];
  /** `--source-policy-file`. */
  readonly sourceRules?: readonly SourceRule[];
  readonly run: RunSettings;
  /** containers.conf `env`. */
  readonly defaultEnvironment?: readonly string[];

  readonly outputs?: readonly BuildOutput[];
  /** `--sbom` and its family. */
  readonly sbom?: SbomOptions;
  readonly quiet?: boolean;
  /** Written in front of every step line: `[linux/arm64] `. */
  readonly logPrefix?: string;
  /** Told instead of the `--> id` lines when ids go to a file. */
  readonly hideImageIds?: boolean;
  readonly stdin?: Readable;
  readonly stdout: OutputTarget;
  readonly stderr: OutputTarget;
  /** Commands write to this process's own stdout and stderr; true only where those are {@link stdout} and {@link stderr}. */
  readonly inheritOutput?: () => boolean;
  readonly debug?: (text: string) => void;
  /** Told what happens, beside the plain lines. */
  readonly onEvent?: OnBuildEvent;
  /** Told what each step was made from, when it is done; collecting it costs memory for each file of COPY. */
  readonly onInputs?: OnStepInputs;
  /** Told after each step. */
  readonly resources?: ResourceLog;
  /** Where things that outlive a build are kept (cache mounts). */
  readonly cacheDirectory: string;
  /** Where facts about earlier builds are kept: digests of files of contexts. Absent: nothing is kept. */
  readonly memoryDirectory?: string;
}

/** What a build gives. */
export interface BuildResult {
  readonly imageId: string;
  readonly digest?: string;
  readonly manifest?: Uint8Array;
  readonly mediaType?: string;
  readonly names: readonly string[];
  readonly history?: readonly HistoryEntry[];
}
