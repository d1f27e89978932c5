import { join } from 'node:path';
import { byteSize } from '../../image/byte-size.ts';
import { hostIds } from '../../store/storage/id-mappings.ts';
import { removeLeftovers } from '../exec/leftovers.ts';
import { prepareVolumes } from '../exec/mounts/volume.ts';
import { Workspace } from '../exec/workspace.ts';
import { proxyVariables } from '../plan/arguments.ts';
import { DEFAULT_PATH } from '../plan/stage-state.ts';
import { mergeEnvironment } from '../plan/variables.ts';
import type { BridgeSettings } from '../run/bridge/settings.ts';
import { CDI_DIRECTORIES } from '../run/cdi.ts';
import { requestedNetwork } from '../run/connect.ts';
import type { IsolationKind, ResourceLimits, RunMount, RunRequest, RunResult } from '../run/contract.ts';
import { runCommand } from '../run/run.ts';
import { resolveUser } from '../run/user.ts';
import type { BuildSurroundings, NamespaceOption, RunOptions, WorkingContainer } from './contract.ts';
import { ownHostname } from './hostname.ts';

/** What one run overrides of the container's own settings; flags of `buildah run`. */
export interface RunInContainerOptions {
  readonly environment?: readonly string[];
  readonly user?: string;
  readonly workingDirectory?: string;
  readonly hostname?: string;
  readonly isolation?: IsolationKind;
  readonly runtime?: string;
  readonly runtimeFlags?: readonly string[];
  readonly namespaces?: readonly NamespaceOption[];
  readonly network?: 'default' | 'disabled' | 'enabled';
  readonly capabilitiesAdd?: readonly string[];
  readonly capabilitiesDrop?: readonly string[];
  readonly devices?: readonly string[];
  /** `host:container[:options]`. */
  readonly volumes?: readonly string[];
  readonly mounts?: readonly RunMount[];
  readonly terminal?: boolean;
  readonly noPivot?: boolean;
  readonly cgroupManager?: string;
  readonly noHosts?: boolean;
  readonly noHostname?: boolean;
  readonly hooksDirectories?: readonly string[];
  readonly defaultDns?: NonNullable<RunRequest['dns']>;
  readonly defaultDevices?: readonly string[];
  /** Where CDI specifications are, weakest first; absent: the system's directories. */
  readonly cdiDirectories?: readonly string[];
  readonly cdiDirectory?: string;
  readonly defaultVolumes?: readonly string[];
  /** `name=soft[:hard]`. */
  readonly defaultUlimits?: readonly string[];
  readonly sysctls?: readonly string[];
  readonly baseHostsFile?: string;
  /** Of `host.containers.internal`, or `none` (containers.conf). */
  readonly hostAddress?: string;
  /** The container's name is the host name where no other is given (containers.conf). */
  readonly nameAsHostname?: boolean;
  /** Where netavark and its networks are (containers.conf). */
  readonly bridge?: BridgeSettings;
  readonly engine: string;
  readonly stdin?: RunRequest['stdin'];
  readonly stdout?: RunRequest['stdout'];
  readonly stderr?: RunRequest['stderr'];
}

/** Runs a command in a working container, which is mounted meanwhile, with its image's and its own settings. */
export async function runInContainer(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  words: readonly string[],
  options: RunInContainerOptions,
): Promise<RunResult> {
  await removeLeftovers(surroundings.store, (text) => surroundings.onWarning?.(text));
  await using workspace = new Workspace(surroundings);
  const scratch = workspace.directory('run');
  const { layerId, mountLabel } = container;
  const rootfs = await workspace.mountLayer(layerId, { mountLabel });
  const request = await requestOf(surroundings, container, words, options, rootfs, scratch);
  return await runCommand(request);
}

async function requestOf(
  surroundings: BuildSurroundings,
  container: WorkingContainer,
  words: readonly string[],
  options: RunInContainerOptions,
  rootfs: string,
  scratch: string,
): Promise<RunRequest> {
  const config = container.ociConfig.config ?? {};
  const settings = container.runOptions;
  const namespaces = mergedNamespaces(container.namespaces, options.namespaces ?? []);
  const user = options.user || config.User || '';
  const volumes = [
    ...(options.defaultVolumes ?? []),
    ...(settings.Volumes ?? []),
    ...(options.volumes ?? []),
  ];
  return {
    rootfs,
    stateDirectory: join(scratch, 'state'),
    args: words,
    environment: environmentOf(surroundings, container, options),
    workingDirectory: options.workingDirectory || config.WorkingDir || '/',
    user,
    additionalGroups: container.groupAdd,
    hostname:
      options.hostname ||
      container.dockerConfig.config?.Hostname ||
      ownHostname(container, options.nameAsHostname),
    terminal: options.terminal,
    mounts: [
      ...(await prepareVolumes(volumes, {
        scratch,
        owner: () => hostIds(container.idMappings, resolveUser(rootfs, user)),
      })),
      ...(options.mounts ?? []),
    ],
    isolation: options.isolation ?? container.isolation,
    runtime: options.runtime,
    runtimeFlags: options.runtimeFlags,
    namespaces: Object.fromEntries(namespaces.map((option) => [option.Name, namespaceText(option)])),
    network: networkOf(container, options, namespaces),
    dns: dnsOf(settings, options.defaultDns),
    hosts:
      options.noHosts || settings.NoHosts
        ? false
        : {
            entries: hostEntries(settings),
            baseFile: options.baseHostsFile,
            hostAddress: options.hostAddress,
          },
    hostnameFile: !(options.noHostname || settings.NoHostname),
    capabilities: { add: options.capabilitiesAdd ?? [], drop: options.capabilitiesDrop ?? [] },
    defaultCapabilities: container.capabilities,
    securityOptions: securityOf(settings),
    devices: [...(options.defaultDevices ?? []), ...container.devices, ...(options.devices ?? [])],
    cdiDirectories: [
      ...(options.cdiDirectories ?? CDI_DIRECTORIES),
      ...[container.cdiDirectory, options.cdiDirectory].filter((path) => path !== undefined),
    ],
    limits: limitsOf(settings, options.defaultUlimits),
    idMappings: container.idMappings,
    mountsFiles: container.defaultMountsFile ? [container.defaultMountsFile] : undefined,
    noPivot: options.noPivot,
    cgroupManager: options.cgroupManager,
    imageAnnotations: container.annotations,
    hooksDirectories: [...(settings.OCIHooksDir ?? []), ...(options.hooksDirectories ?? [])],
    sysctls: options.sysctls,
    volumes: Object.keys(config.Volumes ?? {}),
    containerEnv: {
      engine: options.engine,
      name: container.name,
      id: container.id,
      image: container.fromImage,
      imageId: container.fromImageId,
    },
    onWarning: surroundings.onWarning,
    stdin: options.stdin ?? 'inherit',
    stdout: options.stdout ?? 'inherit',
    stderr: options.stderr ?? 'inherit',
    signal: surroundings.signal,
  };
}

function environmentOf(
  { environment }: BuildSurroundings,
  container: WorkingContainer,
  options: RunInContainerOptions,
): string[] {
  const own = container.ociConfig.config?.Env ?? [];
  const path = own.some((entry) => entry.startsWith('PATH=')) ? [] : [`PATH=${DEFAULT_PATH}`];
  const proxies = container.runOptions.HTTPProxy === false ? [] : proxyVariables(environment);
  const layers = [path, proxies, own, options.environment ?? []];
  return layers.reduce<string[]>((merged, list) => mergeEnvironment(merged, list), []);
}

function mergedNamespaces(
  own: readonly NamespaceOption[],
  given: readonly NamespaceOption[],
): NamespaceOption[] {
  return [...new Map([...own, ...given].map((option) => [option.Name, option])).values()];
}

function namespaceText({ Host, Path }: NamespaceOption): string {
  return Host ? 'host' : Path ? `ns:${Path}` : 'private';
}

function networkOf(
  container: WorkingContainer,
  options: RunInContainerOptions,
  namespaces: readonly NamespaceOption[],
): RunRequest['network'] {
  const policy = options.network && options.network !== 'default' ? options.network : container.network;
  const network = namespaces.find((option) => option.Name === 'network');
  if (network?.Host) return { mode: 'host' };
  if (policy === 'disabled') return { mode: 'none' };
  return requestedNetwork(network, policy, options.bridge);
}

function dnsOf(settings: RunOptions, defaults: RunRequest['dns']): RunRequest['dns'] {
  const chosen = (own: readonly string[] | null | undefined, other: readonly string[] = []) =>
    own?.length ? own : other;
  const servers = chosen(settings.DNSServers, defaults?.servers);
  const search = chosen(settings.DNSSearch, defaults?.search);
  const options = chosen(settings.DNSOptions, defaults?.options);
  return servers.length || search.length || options.length ? { servers, search, options } : undefined;
}

function hostEntries(settings: RunOptions): { readonly name: string; readonly address: string }[] {
  return (settings.AddHost ?? []).map((text) => {
    const colon = text.indexOf(':');
    return { name: text.slice(0, colon), address: text.slice(colon + 1) };
  });
}

function securityOf(settings: RunOptions): string[] {
  const text = (name: string, value: unknown) =>
    typeof value === 'string' && value ? [`${name}=${value}`] : [];
  const list = (name: string, value: unknown) =>
    Array.isArray(value) ? value.map((item) => `${name}=${String(item)}`) : [];
  return [
    ...text('seccomp', settings.SeccompProfilePath),
    ...text('apparmor', settings.ApparmorProfile),
    ...(settings.NoNewPrivileges ? ['no-new-privileges'] : []),
    ...list('label', settings.LabelOpts),
    ...list('mask', settings.Masks),
    ...list('unmask', settings.Unmasks),
  ];
}

/** Zero and empty text mean: not set. */
function limitsOf(settings: RunOptions, defaultUlimits: readonly string[] = []): ResourceLimits {
  const limits: { -readonly [K in keyof ResourceLimits]: ResourceLimits[K] } = {
    memoryBytes: settings.Memory || undefined,
    memorySwapBytes: settings.MemorySwap || undefined,
    cpuPeriod: settings.CPUPeriod || undefined,
    cpuQuota: settings.CPUQuota || undefined,
    cpuShares: settings.CPUShares || undefined,
    cpusetCpus: settings.CPUSetCPUs || undefined,
    cpusetMems: settings.CPUSetMems || undefined,
    cgroupParent: settings.CgroupParent || undefined,
    shmSizeBytes: byteSize(settings.ShmSize ?? ''),
    ulimits: [...defaultUlimits, ...(settings.Ulimit ?? [])].map(parseUlimit),
  };
  return limits;
}

function parseUlimit(text: string): { name: string; soft: number; hard: number } {
  const [name = '', values = ''] = text.split('=');
  const [soft = '0', hard = soft] = values.split(':');
  return { name, soft: Number(soft), hard: Number(hard) };
}
