import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import type {
  CreateWorkingContainerOptions,
  NamespaceOption,
  RunOptions,
} from '../../../build/container/contract.ts';
import { namespaceOption, networkChoice } from '../../../build/container/namespace-option.ts';
import { parseVolume, volumeFields } from '../../../build/exec/mounts/volume.ts';
import type { IsolationKind } from '../../../build/run/contract.ts';
import { detectIsolation } from '../../../build/run/detect.ts';
import type { ContainersConfig } from '../../../config/containers.ts';
import type { CommandContext, FlagSpec, Flags } from '../../cli/contract.ts';
import { parseByteSize } from '../../cli/duration.ts';
import { usage } from './arguments.ts';
import { effectiveCapabilities } from './capabilities.ts';
import { containersConfig } from './containers-conf.ts';
import type { Session } from './session.ts';
import { userNamespaceOptions } from './user-namespace.ts';

/** Flags of `from` and `run` about namespaces. */
export const NAMESPACE_FLAGS: readonly FlagSpec[] = [
  { name: 'cgroupns', kind: 'string', usage: 'cgroup namespace: `private`, host or a path' },
  { name: 'ipc', kind: 'string', usage: 'IPC namespace: `private`, host or a path' },
  { name: 'network', kind: 'string', usage: 'network: `private`, none, host, a path or a list of networks' },
  { name: 'net', kind: 'string', usage: 'the same as --network' },
  {
    name: 'no-map-gw',
    kind: 'bool',
    usage: 'do not make the host reachable through the gateway address',
    noEffect: 'so it is unless --network=pasta:--map-gw asks for it',
  },
  { name: 'pid', kind: 'string', usage: 'PID namespace: `private`, host or a path' },
  { name: 'uts', kind: 'string', usage: 'UTS namespace: `private`, host or a path' },
];

/** Flags of `from` about later runs; `build` has the same. */
export const CONTAINER_FLAGS: readonly FlagSpec[] = [
  ...NAMESPACE_FLAGS,
  { name: 'add-host', kind: 'slice', usage: 'add `NAME:IP` to /etc/hosts' },
  { name: 'arch', kind: 'string', usage: 'architecture of the image to choose' },
  { name: 'cap-add', kind: 'slice', usage: 'add a capability' },
  { name: 'cap-drop', kind: 'slice', usage: 'drop a capability' },
  { name: 'cdi-config-dir', kind: 'string', usage: 'directory of CDI configuration', hidden: true },
  { name: 'cgroup-parent', kind: 'string', usage: 'parent cgroup' },
  { name: 'cpu-period', kind: 'uint', usage: 'length of a CFS scheduling period in microseconds' },
  { name: 'cpu-quota', kind: 'int', usage: 'CPU time in each period in microseconds' },
  { name: 'cpu-shares', short: 'c', kind: 'uint', usage: 'relative weight of CPU time' },
  { name: 'cpuset-cpus', kind: 'string', usage: 'CPUs to run on, such as 0-3' },
  { name: 'cpuset-mems', kind: 'string', usage: 'memory nodes to use, such as 0-1' },
  { name: 'decryption-key', kind: 'slice', usage: 'key to decrypt pulled layers with' },
  { name: 'device', kind: 'array', usage: 'make a device available, `HOST[:CONTAINER[:PERMISSIONS]]`' },
  { name: 'dns', kind: 'slice', usage: 'DNS server' },
  { name: 'dns-option', kind: 'slice', usage: 'option in /etc/resolv.conf' },
  { name: 'dns-search', kind: 'slice', usage: 'DNS search domain' },
  { name: 'group-add', kind: 'slice', usage: 'additional group; `keep-groups` keeps those of the caller' },
  { name: 'hooks-dir', kind: 'array', usage: 'directory of OCI hooks', hidden: true },
  { name: 'http-proxy', kind: 'bool', default: true, usage: 'pass proxy variables on' },
  {
    name: 'isolation',
    kind: 'string',
    usage: 'how to isolate: oci, rootless or chroot; BUILDAH_ISOLATION names it too',
  },
  { name: 'memory', short: 'm', kind: 'string', usage: 'memory limit, such as 512m' },
  { name: 'memory-swap', kind: 'string', usage: 'limit of memory and swap together; -1: none' },
  { name: 'os', kind: 'string', usage: 'operating system of the image to choose' },
  { name: 'platform', kind: 'slice', usage: 'platform of the image to choose, `OS/ARCHITECTURE[/VARIANT]`' },
  { name: 'security-opt', kind: 'array', usage: 'security option, such as seccomp=FILE' },
  { name: 'shm-size', kind: 'string', default: '65536k', usage: 'size of /dev/shm' },
  { name: 'ulimit', kind: 'slice', usage: 'limit of resources, `NAME=SOFT[:HARD]`' },
  { name: 'userns', kind: 'string', usage: 'user namespace: host, private, auto or a path' },
  { name: 'userns-uid-map', kind: 'slice', usage: 'mapping of user ids, `CONTAINER:HOST:LENGTH`' },
  { name: 'userns-gid-map', kind: 'slice', usage: 'mapping of group ids, `CONTAINER:HOST:LENGTH`' },
  {
    name: 'userns-uid-map-user',
    kind: 'string',
    usage: 'take the mapping from the lines of this user in /etc/subuid',
  },
  {
    name: 'userns-gid-map-group',
    kind: 'string',
    usage: 'take the mapping from the lines of this group in /etc/subgid',
  },
  { name: 'variant', kind: 'string', usage: 'variant of the architecture to choose' },
  {
    name: 'volume',
    short: 'v',
    kind: 'array',
    usage: 'bind mount for every run, `HOST:CONTAINER[:OPTIONS]`',
  },
];

type Options = Omit<CreateWorkingContainerOptions, 'from'>;

/** Reads {@link CONTAINER_FLAGS} into the options of creating a container. */
export async function containerOptions(context: CommandContext, session: Session): Promise<Options> {
  const { flags } = context;
  const isolation = isolationOf(context);
  const { namespaces, network } = namespaceOptions(flags);
  const user = userNamespaceOptions(flags);
  const { containers } = await containersConfig(context);
  return {
    isolation,
    namespaces: [...configuredNamespaces(containers), ...namespaces, ...user.namespaces],
    network,
    idMappings: user.idMappings,
    automaticIds: user.automaticIds,
    capabilities: await effectiveCapabilities(context, flags.list('cap-add'), flags.list('cap-drop')),
    devices: flags.list('device'),
    cdiDirectory: flags.string('cdi-config-dir') || undefined,
    groupAdd: flags.list('group-add'),
    defaultMountsFile: context.globals.string('default-mounts-file'),
    runOptions: await runOptions(context, session),
  };
}

const ISOLATIONS: Readonly<Record<string, IsolationKind>> = {
  oci: 'oci',
  default: 'oci',
  rootless: 'rootless',
  chroot: 'chroot',
};

/** `--isolation`, BUILDAH_ISOLATION, else what works here. */
export function isolationOf(context: CommandContext): IsolationKind {
  const { flags, io } = context;
  const text = flags.string('isolation') || io.environment.BUILDAH_ISOLATION || '';
  if (text === '') return defaultIsolation(context);
  const lower = text.toLowerCase();
  const isolation = Object.hasOwn(ISOLATIONS, lower) ? ISOLATIONS[lower] : undefined;
  if (!isolation)
    throw usage(
      flags.changed('isolation')
        ? `unrecognized isolation type "${text}"`
        : `unrecognized $BUILDAH_ISOLATION value "${text}"`,
    );
  return isolation;
}

let noted = false;

/** The runtime where one works, else chroot, said once. Where nothing works the first RUN will say so. */
function defaultIsolation({ io, note }: CommandContext): IsolationKind {
  const choice = detectIsolation();
  if (choice.note !== undefined && !noted) note(choice.note);
  noted = true;
  return choice.preferred ?? (io.environment._CONTAINERS_USERNS_CONFIGURED ? 'rootless' : 'oci');
}

/** What containers.conf wants of namespaces that no flag speaks of. */
function configuredNamespaces(containers: ContainersConfig['containers']): NamespaceOption[] {
  const { cgroupns, ipcns, netns, pidns, userns, utsns } = containers;
  const cgroup = cgroupns || 'private';
  const named = { cgroup, ipc: ipcns, network: netns, pid: pidns, user: userns, uts: utsns };
  return Object.entries(named).flatMap(([Name, how]) =>
    how ? [{ Name, Host: how === 'host', Path: '' }] : [],
  );
}

/** Reads {@link NAMESPACE_FLAGS}. */
export function namespaceOptions(flags: Flags): Required<Pick<Options, 'namespaces' | 'network'>> {
  const namespaces: NamespaceOption[] = [];
  let network: 'default' | 'disabled' | 'enabled' = 'default';
  for (const name of ['cgroupns', 'ipc', 'network', 'pid', 'uts']) {
    const flag = name === 'network' && !flags.changed(name) ? 'net' : name;
    if (!flags.changed(flag)) continue;
    const how = flags.string(flag);
    const kind = name === 'cgroupns' ? 'cgroup' : name;
    if (network !== 'disabled') network = kind === 'network' ? networkChoice(how) : 'enabled';
    namespaces.push(checkedNamespace(kind, how));
  }
  return { namespaces, network };
}

function checkedNamespace(kind: string, text: string): NamespaceOption {
  const option = namespaceOption(kind, text);
  const { Path: path } = option;
  if (path !== '' && (path.startsWith('/') || kind !== 'network') && !existsSync(path))
    throw usage(`checking ${kind} namespace: faccessat ${path}: no such file or directory`);
  return option;
}

async function runOptions(context: CommandContext, { surroundings }: Session): Promise<RunOptions> {
  const { flags } = context;
  const { containers } = await containersConfig(context);
  const memorySwap = flags.string('memory-swap');
  const dns = flags.list('dns');
  const noDns = dns.some((server) => server.toLowerCase() === 'none');
  if (noDns && dns.length > 1)
    throw usage('invalid --dns, --dns=none may not be used with any other --dns options');
  for (const name of ['dns-search', 'dns-option'])
    if (noDns && flags.list(name).length)
      throw usage(`invalid --${name}, --${name} may not be used with --dns=none`);
  for (const host of flags.list('add-host')) checkHost(host);
  size(flags.string('shm-size'), 'shm-size');
  return {
    AddHost: flags.list('add-host'),
    CgroupParent: flags.string('cgroup-parent'),
    CPUPeriod: flags.number('cpu-period'),
    CPUQuota: flags.number('cpu-quota'),
    CPUShares: flags.number('cpu-shares'),
    CPUSetCPUs: flags.string('cpuset-cpus'),
    CPUSetMems: flags.string('cpuset-mems'),
    HTTPProxy: flags.bool('http-proxy'),
    Memory: flags.string('memory') ? size(flags.string('memory'), 'memory') : 0,
    MemorySwap: memorySwap === '-1' ? -1 : memorySwap ? size(memorySwap, 'memory-swap') : 0,
    DNSSearch: flags.list('dns-search'),
    DNSServers: dns,
    DNSOptions: flags.list('dns-option'),
    ...securityOptions(flags.list('security-opt')),
    ShmSize: (!flags.changed('shm-size') && containers.shm_size) || flags.string('shm-size'),
    Ulimit: [...containers.default_ulimits, ...flags.list('ulimit').map(checkedUlimit)],
    Volumes: flags.list('volume').map((volume) => checkedVolume(volume, surroundings.workingDirectory)),
    Secrets: [],
    SSHSources: [],
    OCIHooksDir: flags.list('hooks-dir'),
  };
}

function size(text: string, flag: string): number {
  try {
    return parseByteSize(text);
  } catch {
    throw usage(
      flag === 'shm-size'
        ? `invalid --shm-size: invalid size: '${text}'`
        : `invalid value for ${flag}: invalid size: '${text}'`,
    );
  }
}

function checkHost(text: string): void {
  const colon = text.indexOf(':');
  const address = text.slice(colon + 1);
  if (colon <= 0) throw usage(`invalid value for add-host: bad format for add-host: "${text}"`);
  const isAddress = (isIP(address) && !address.includes('%')) || address === 'host-gateway';
  if (!isAddress) throw usage(`invalid value for add-host: invalid IP address in add-host: "${address}"`);
}

function checkedUlimit(text: string): string {
  if (!/^[a-z]+=-?\d+(?::-?\d+)?$/.test(text)) throw usage(`ulimit option "${text}" requires name=SOFT:HARD`);
  return text;
}

function checkedVolume(text: string, workingDirectory: string): string {
  const [host = '', ...rest] = volumeFields(text);
  const absolute = host.startsWith('.') ? `${workingDirectory}/${host}` : host;
  const checked = [absolute, ...rest].map((field) => field.replaceAll(':', '\\:')).join(':');
  parseVolume(checked);
  return checked;
}

function securityOptions(list: readonly string[]): RunOptions {
  const labels: string[] = [];
  let options: RunOptions = {};
  for (const text of list.filter(Boolean)) {
    if (text === 'no-new-privileges') {
      options = { ...options, NoNewPrivileges: true };
      continue;
    }
    const equals = text.indexOf('=');
    if (equals < 0) throw usage(`invalid --security-opt name=value pair: "${text}"`);
    const value = text.slice(equals + 1);
    switch (text.slice(0, equals)) {
      case 'label':
        labels.push(value);
        break;
      case 'apparmor':
        options = { ...options, ApparmorProfile: value };
        break;
      case 'seccomp':
        options = { ...options, SeccompProfilePath: value };
        break;
      case 'mask':
        options = { ...options, Masks: [...((options.Masks as string[]) ?? []), ...value.split(':')] };
        break;
      case 'unmask':
        options = { ...options, Unmasks: [...((options.Unmasks as string[]) ?? []), ...value.split(':')] };
        break;
      default:
        throw usage(`invalid --security-opt 2: "${text}"`);
    }
  }
  return { ...options, LabelOpts: labels };
}
