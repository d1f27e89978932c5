import type { Readable, Writable } from 'node:stream';
import type { IdMappings } from '../../store/layer/contract.ts';
import type { BridgeSettings } from './bridge/settings.ts';

export type IsolationKind = 'oci' | 'rootless' | 'chroot';

/** A bind, tmpfs or other mount of one RUN. `source` is a host path that the caller resolved safely (an open descriptor's path where it comes from hostile data). */
export interface RunMount {
  readonly type: 'bind' | 'tmpfs' | 'overlay' | 'proc' | 'sysfs' | 'devpts' | 'mqueue' | 'cgroup';
  readonly source?: string;
  /** Absolute path in the container; resolved inside the root, made when missing and removed afterwards if it was. */
  readonly destination: string;
  /** As mount(8): `ro`, `rw`, `nosuid`, `rbind`, `private`, `size=…`, `mode=…`, `uid=…`. */
  readonly options: readonly string[];
  /** Files of an image or a context, whose device nodes stay closed where no cgroup watches over devices. */
  readonly foreign?: boolean;
}

export type NamespaceKind = 'user' | 'pid' | 'network' | 'ipc' | 'uts' | 'mount' | 'cgroup';

/** Limits of resources, as the flags of buildah name them; bytes, microseconds, shares. */
export interface ResourceLimits {
  readonly memoryBytes?: number;
  readonly memorySwapBytes?: number;
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpuShares?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly cgroupParent?: string;
  readonly shmSizeBytes?: number;
  /** `nofile=1024:2048` parsed; -1 is unlimited. */
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly pidsLimit?: number;
}

/** The facts that Podman and Buildah write to /run/.containerenv. */
export interface ContainerEnvFile {
  /** `buildah-1.44.0` and the like. */
  readonly engine: string;
  readonly name: string;
  readonly id: string;
  readonly image: string;
  readonly imageId: string;
}

/** What goes into the /etc/hosts of a container. */
export interface RequestedHosts {
  readonly entries: readonly { readonly name: string; readonly address: string }[];
  readonly baseFile?: string;
  /** Of `host.containers.internal`; `none`: no such name; absent: the host's as the container reaches it. */
  readonly hostAddress?: string;
}

/** One command run in a root file system. Everything is explicit: nothing of the caller's environment leaks in. */
export interface RunRequest {
  /** The mounted root file system on the host. */
  readonly rootfs: string;
  /** Directory for this run's bundle, hosts and resolv.conf files; made, and removed afterwards, by the runner. */
  readonly stateDirectory: string;
  readonly args: readonly string[];
  /** `NAME=value`, complete. */
  readonly environment: readonly string[];
  readonly workingDirectory: string;
  /** `user[:group]`, names or ids, resolved in the rootfs's passwd and group files. */
  readonly user: string;
  readonly additionalGroups?: readonly string[];
  readonly hostname?: string;
  readonly terminal?: boolean;
  /** Another run comes soon, and what takes long may be made ready for it meanwhile. */
  readonly anotherFollows?: boolean;
  readonly mounts: readonly RunMount[];
  readonly isolation: IsolationKind;
  /** Runtime executable of `oci` and `rootless`; absent: the first that works of crun, runc. */
  readonly runtime?: string;
  readonly runtimeFlags?: readonly string[];
  /** `host`, `private`, `none`, or `ns:/path` for each namespace; absent: buildah's default for the isolation. */
  readonly namespaces?: Readonly<Partial<Record<NamespaceKind, string>>>;
  readonly network: {
    readonly mode: 'host' | 'none' | 'private';
    readonly path?: string;
    /** Options for pasta, which alone is asked for where they are given, even if there are none. */
    readonly options?: readonly string[];
    /** Networks of netavark by name or id; absent: the default one. */
    readonly names?: readonly string[];
    /** Where netavark and its networks are; absent: networks come from a user-mode stack. */
    readonly bridge?: BridgeSettings;
    /** The user asked for it: where it cannot be had, fail instead of sharing the host's network with a warning. */
    readonly strict?: boolean;
  };
  readonly dns?: {
    readonly servers: readonly string[];
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
  /** `--no-hosts`, `--add-host`: name:ip pairs; `hosts: false` leaves the image's file alone. */
  readonly hosts?: false | RequestedHosts;
  readonly resolvConf?: boolean;
  readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
  /** Default capability set from containers.conf; absent: buildah's. */
  readonly defaultCapabilities?: readonly string[];
  /** `--security-opt` values: `seccomp=…`, `no-new-privileges`, `mask=…`, `unmask=…`, `apparmor=…`, `label=…`. */
  readonly securityOptions?: readonly string[];
  /** `--device` values: host paths, or qualified CDI names. */
  readonly devices?: readonly string[];
  /** Directories of CDI specifications, weakest first; absent: the system's. */
  readonly cdiDirectories?: readonly string[];
  readonly limits?: ResourceLimits;
  readonly idMappings?: IdMappings;
  readonly hooksDirectories?: readonly string[];
  /** Candidates for mounts.conf in order (the user's, the system's); absent: the system's; empty: no automatic mounts. */
  readonly mountsFiles?: readonly string[];
  /** `systemd` asks the runtime to make cgroups through it. */
  readonly cgroupManager?: string;
  /** `--no-pivot`: change root without pivot_root, for roots on a ramdisk. */
  readonly noPivot?: boolean;
  /** The image's; hooks of the given directories may be bound to them, the runtime never sees them (SECURITY X03). */
  readonly imageAnnotations?: Readonly<Record<string, string>>;
  /** What /run/.containerenv says of the container; absent: the file is empty. */
  readonly containerEnv?: ContainerEnvFile;
  /** `--no-hostname`: false leaves the image's /etc/hostname alone. Default true. */
  readonly hostnameFile?: boolean;
  /** Image volumes; made in the root file system, and generated files are not put over them. */
  readonly volumes?: readonly string[];
  /** `name=value` of containers.conf's default_sysctls; those of a namespace that is not private are left out. */
  readonly sysctls?: readonly string[];
  /** Told what could not be done as asked and was done otherwise. */
  readonly onWarning?: (text: string) => void;
  readonly stdin?: Readable | 'inherit' | 'ignore';
  readonly stdout?: Writable | 'inherit';
  readonly stderr?: Writable | 'inherit';
  readonly signal?: AbortSignal;
}

export interface RunResult {
  /** The command's own exit code; 128 + n when signal n ended it. */
  readonly exitCode: number;
  readonly signal?: NodeJS.Signals;
}

/** build/run/run.ts exports `runCommand`. */
export type RunCommand = (request: RunRequest) => Promise<RunResult>;
