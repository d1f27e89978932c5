import type { ContainersConfig } from '../../config/containers.ts';
import { byteSize } from '../../image/byte-size.ts';
import type { CreateWorkingContainerOptions, NamespaceOption, RunOptions } from '../container/contract.ts';
import { BuildError } from '../error.ts';
import { bridgeSettings } from '../run/bridge/settings.ts';
import { CDI_DIRECTORIES } from '../run/cdi.ts';
import { requestedNetwork } from '../run/connect.ts';
import type { NamespaceKind, ResourceLimits } from '../run/contract.ts';
import { runtimeOf } from '../run/runtime-name.ts';
import type { RunSettings } from './options.ts';

/** What the flags shared with `buildah from` say, and what `build` adds. */
export interface RunSettingsInputs {
  readonly container: Pick<
    CreateWorkingContainerOptions,
    | 'isolation'
    | 'namespaces'
    | 'network'
    | 'capabilities'
    | 'devices'
    | 'cdiDirectory'
    | 'defaultMountsFile'
    | 'groupAdd'
    | 'runOptions'
    | 'idMappings'
    | 'automaticIds'
  >;
  readonly hostEnvironment: RunSettings['hostEnvironment'];
  readonly noHosts?: boolean;
  readonly noHostname?: boolean;
  readonly runtime?: string;
  readonly runtimeFlags?: readonly string[];
  readonly mounts?: readonly string[];
  /** What containers.conf adds to every RUN. */
  readonly configured?: Pick<ContainersConfig, 'containers' | 'engine' | 'network'>;
}

/** Turns the settings that a working container stores into those of a RUN. @throws BuildError `bad-option` */
export function runSettings(inputs: RunSettingsInputs): RunSettings {
  const { container, configured } = inputs;
  const defaults = configured?.containers;
  const chosen = (own: readonly string[] | null | undefined, other: readonly string[] = []) =>
    own?.length ? own : other;
  const options = container.runOptions ?? {};
  const namespaces = container.namespaces ?? [];
  refuseMixedNamespaces(namespaces);
  const network = namespaces.findLast((namespace) => namespace.Name === 'network');
  return {
    isolation: container.isolation ?? 'oci',
    runtime: configured ? runtimeOf(configured.engine, inputs.runtime) : inputs.runtime,
    runtimeFlags: inputs.runtimeFlags?.map((flag) => `--${flag}`),
    namespaces: namespaceRecord(namespaces),
    network:
      container.network === 'disabled' && !network?.Host
        ? { mode: 'none' }
        : requestedNetwork(network, container.network, configured && bridgeSettings(configured)),
    dns: {
      servers: chosen(options.DNSServers, defaults?.dns_servers),
      search: chosen(options.DNSSearch, defaults?.dns_searches),
      options: chosen(options.DNSOptions, defaults?.dns_options),
    },
    hostEntries: (options.AddHost ?? []).map(hostEntry),
    noHosts: inputs.noHosts,
    noHostname: inputs.noHostname,
    capabilitiesAdd: [],
    capabilitiesDrop: [],
    defaultCapabilities: container.capabilities,
    securityOptions: securityOptions(options),
    devices: [...(defaults?.devices ?? []), ...(container.devices ?? [])],
    cdiDirectories: [
      ...(configured?.engine.cdi_spec_dirs ?? CDI_DIRECTORIES),
      ...(container.cdiDirectory ? [container.cdiDirectory] : []),
    ],
    limits: limits(options),
    hooksDirectories: [...(options.OCIHooksDir ?? []), ...(configured?.engine.hooks_dir ?? [])],
    groupAdd: container.groupAdd,
    volumes: [...(defaults?.volumes ?? []), ...(options.Volumes ?? [])],
    sysctls: defaults?.default_sysctls,
    baseHostsFile: defaults?.base_hosts_file || undefined,
    hostAddress: defaults?.host_containers_internal_ip || undefined,
    nameAsHostname: defaults?.container_name_as_hostname,
    mountsFiles: container.defaultMountsFile ? [container.defaultMountsFile] : undefined,
    mounts: inputs.mounts,
    httpProxy: options.HTTPProxy,
    hostEnvironment: inputs.hostEnvironment,
    stored: {
      namespaces,
      runOptions: options,
      idMappings: container.idMappings,
      automaticIds: container.automaticIds,
    },
  };
}

function refuseMixedNamespaces(namespaces: readonly NamespaceOption[]): void {
  const last = (name: string) => namespaces.findLast((option) => option.Name === name);
  const user = last('user');
  if (last('pid')?.Host && user && !user.Host)
    throw new BuildError('bad-option', 'not allowed to mix host PID namespace with container user namespace');
}

function namespaceRecord(list: readonly NamespaceOption[]): RunSettings['namespaces'] {
  const entries = list
    .filter((namespace) => namespace.Name !== 'network')
    .map((namespace): [NamespaceKind, string] => [
      namespace.Name as NamespaceKind,
      namespace.Host ? 'host' : namespace.Path ? `ns:${namespace.Path}` : 'private',
    ]);
  return Object.fromEntries(entries);
}

function hostEntry(text: string): { name: string; address: string } {
  const colon = text.indexOf(':');
  return { name: text.slice(0, colon), address: text.slice(colon + 1) };
}

function securityOptions(options: RunOptions): string[] {
  const list = (value: unknown) => (Array.isArray(value) ? (value as string[]) : []);
  return [
    ...(options.NoNewPrivileges ? ['no-new-privileges'] : []),
    ...(options.SeccompProfilePath ? [`seccomp=${options.SeccompProfilePath}`] : []),
    ...(options.ApparmorProfile ? [`apparmor=${options.ApparmorProfile}`] : []),
    ...(options.LabelOpts ?? []).map((label) => `label=${label}`),
    ...list(options.Masks).map((path) => `mask=${path}`),
    ...list(options.Unmasks).map((path) => `unmask=${path}`),
  ];
}

function limits(options: RunOptions): ResourceLimits {
  const given = (value: number | undefined) => (value ? value : undefined);
  return {
    memoryBytes: given(options.Memory),
    memorySwapBytes: given(options.MemorySwap),
    cpuPeriod: given(options.CPUPeriod),
    cpuQuota: given(options.CPUQuota),
    cpuShares: given(options.CPUShares),
    cpusetCpus: options.CPUSetCPUs || undefined,
    cpusetMems: options.CPUSetMems || undefined,
    cgroupParent: options.CgroupParent || undefined,
    shmSizeBytes: options.ShmSize ? shmSize(options.ShmSize) : undefined,
    ulimits: (options.Ulimit ?? []).map(ulimit),
  };
}

function shmSize(text: string): number {
  const bytes = byteSize(text);
  if (bytes === undefined) throw new BuildError('bad-option', `invalid --shm-size: invalid size: '${text}'`);
  return bytes;
}

function ulimit(text: string): { name: string; soft: number; hard: number } {
  const [name = '', value = ''] = text.split('=');
  const [soft = '', hard = soft] = value.split(':');
  return { name, soft: Number(soft), hard: Number(hard) };
}
