import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { BuildError } from '../error.ts';
import { chooseCapabilities } from './capabilities.ts';
import type { NamespaceKind, RunRequest } from './contract.ts';
import { type HostFacts, mayRaiseLimits } from './host.ts';
import { chooseResources, chooseRlimits } from './limits.ts';
import { checkMount, MASKED_PATHS, orderMounts, READ_ONLY_PATHS, systemMounts } from './mounts.ts';
import { hostAddress, hostsFile, resolverFile } from './network-files.ts';
import type {
  RuntimeSpec,
  SpecIdMapping,
  SpecMount,
  SpecNamespace,
  SpecNamespaceType,
} from './runtime-spec.ts';
import { loadSeccomp } from './seccomp-profile.ts';
import { parseSecurityOptions, withoutUnmasked } from './security-options.ts';
import { type ResolvedUser, resolveUser } from './user.ts';

/** A RUN worked out to the last detail, before anything happens to the root file system. */
export interface RunPlan {
  readonly spec: RuntimeSpec;
  readonly user: ResolvedUser;
  /** Host ids of the container's root and of its user, for what is made in the root file system. */
  readonly rootOwner: { readonly uid: number; readonly gid: number };
  readonly userOwner: { readonly uid: number; readonly gid: number };
  /** True where limits were asked for by name, which chroot isolation cannot set from a thread. */
  readonly ulimitsGiven: boolean;
  /** True where the caller named a seccomp profile. */
  readonly ownSeccomp: boolean;
}

/** What a private network brings into the generated files. */
export interface NetworkOffer {
  readonly resolvers: readonly string[];
  readonly address?: string;
}

/**
 * Works a request out: user, capabilities, namespaces, mounts, limits, seccomp. Writes the generated files (hosts,
 * resolv.conf, hostname, .containerenv) into the request's state directory, which exists.
 * @throws BuildError `bad-user`, `bad-mount`, `bad-option`, `unsafe-path`
 */
export async function planRun(
  request: RunRequest,
  host: HostFacts,
  network?: NetworkOffer,
): Promise<RunPlan> {
  const security = parseSecurityOptions(request.securityOptions ?? []);
  const user = resolveUser(request.rootfs, request.user);
  const namespaces = chooseNamespaces(request, host);
  const kinds = new Set(namespaces.map((namespace) => namespace.type));
  const chosen = chooseCapabilities({
    defaults: request.defaultCapabilities,
    ...request.capabilities,
    available: host.capabilities,
  });
  // An ordinary user gets no capabilities of his own; the bounding set stays for set-user-ID programs.
  const own = user.uid === 0 ? chosen : [];
  const mappings = kinds.has('user') ? idMappings(request, host) : undefined;
  const rootOwner = hostIds(mappings, 0, 0);
  const hostname = kinds.has('uts') ? (request.hostname ?? '') : '';
  const spec: RuntimeSpec = {
    ociVersion: '1.0.2',
    process: {
      ...(request.terminal ? { terminal: true } : {}),
      user: { uid: user.uid, gid: user.gid, additionalGids: groupsOf(request, user) },
      args: request.args,
      env: environmentOf(request, user, hostname),
      cwd: posix.resolve('/', request.workingDirectory || '/'),
      capabilities: { bounding: chosen, effective: own, permitted: own, inheritable: [], ambient: [] },
      rlimits: chooseRlimits(request.limits, {
        limitsText: host.limitsText,
        mayRaise: mayRaiseLimits(host),
        rootless: host.rootless,
      }),
      noNewPrivileges: security.noNewPrivileges,
      ...(security.apparmor ? { apparmorProfile: security.apparmor } : {}),
    },
    root: { path: request.rootfs },
    ...(hostname === '' ? {} : { hostname }),
    mounts: orderMounts([
      ...request.mounts.map(checkMount),
      ...generatedFiles(request, { kinds, hostname, owner: rootOwner, host, network }),
      ...systemMounts({
        namespaces: kinds,
        ownsNetwork: namespaces.some(({ type, path }) => type === 'network' && path === undefined),
        rootless: host.rootless,
        hasGroup5: hasId(mappings?.gids ?? host.gidMap, 5),
        shmSizeBytes: request.limits?.shmSizeBytes,
      }),
    ]),
    ...(request.annotations ? { annotations: request.annotations } : {}),
    linux: {
      namespaces,
      ...(mappings ? { uidMappings: mappings.uids, gidMappings: mappings.gids } : {}),
      maskedPaths: withoutUnmasked([...MASKED_PATHS, ...security.masked], security.unmasked),
      readonlyPaths: READ_ONLY_PATHS,
      ...sysctlsOf(request, kinds),
      ...(request.limits?.cgroupParent
        ? { cgroupsPath: cgroupPath(request.limits.cgroupParent, request) }
        : {}),
      ...resourcesOf(request),
      seccomp: await loadSeccomp(security.seccomp, chosen),
    },
  };
  return {
    spec,
    user,
    rootOwner,
    userOwner: hostIds(mappings, user.uid, user.gid),
    ulimitsGiven: (request.limits?.ulimits?.length ?? 0) > 0,
    ownSeccomp: security.seccomp !== undefined,
  };
}

function resourcesOf(request: RunRequest): { resources?: RuntimeSpec['linux']['resources'] } {
  const resources = chooseResources(request.limits);
  return resources ? { resources } : {};
}

function cgroupPath(parent: string, request: RunRequest): string {
  return posix.join(parent, `buildah-${posix.basename(request.stateDirectory)}`);
}

const DEFAULTS: Readonly<Record<NamespaceKind, 'private' | 'host'>> = {
  user: 'host',
  pid: 'private',
  network: 'private',
  ipc: 'private',
  uts: 'private',
  mount: 'private',
  cgroup: 'host',
};

/** The namespaces of a RUN. Chroot isolation shares the host's network unless there is to be none, as Buildah does. */
function chooseNamespaces(request: RunRequest, host: HostFacts): SpecNamespace[] {
  const wanted = { ...DEFAULTS, cgroup: host.cgroup2 ? 'private' : 'host', ...request.namespaces };
  if (request.network.mode === 'none') wanted.network = 'private';
  else if (request.network.mode === 'host') wanted.network = 'host';
  else if (request.network.path) wanted.network = `ns:${request.network.path}`;
  else if (request.isolation === 'chroot') wanted.network = 'host';
  wanted.mount = 'private';
  if (request.isolation === 'chroot') wanted.cgroup = 'host';
  if (request.idMappings) wanted.user = 'private';
  if (wanted.pid === 'host' && wanted.user !== 'host')
    throw new BuildError('bad-option', 'not allowed to mix host PID namespace with container user namespace');
  return Object.entries(wanted).flatMap(([type, value]) => namespaceOf(type as SpecNamespaceType, value));
}

function namespaceOf(type: SpecNamespaceType, value: string): SpecNamespace[] {
  if (value === 'host') return [];
  if (value.startsWith('ns:')) return [{ type, path: value.slice(3) }];
  if (value.startsWith('/')) return [{ type, path: value }];
  if (value === 'private' || value === 'container' || value === '') return [{ type }];
  throw new BuildError(
    'bad-option',
    `unknown ${type} namespace "${value}"; host, private or ns:PATH are possible`,
  );
}

interface Mappings {
  readonly uids: readonly SpecIdMapping[];
  readonly gids: readonly SpecIdMapping[];
}

/** The caller's ranges, else the ids of our own namespace one to one. */
function idMappings(request: RunRequest, host: HostFacts): Mappings {
  const given = request.idMappings;
  const convert = (ranges: NonNullable<typeof given>['uids']): SpecIdMapping[] =>
    ranges.map(({ containerId, hostId, size }) => ({ containerID: containerId, hostID: hostId, size }));
  const own = (map: readonly SpecIdMapping[]) =>
    map.map(({ containerID, size }) => ({ containerID, hostID: containerID, size }));
  return {
    uids: given && given.uids.length > 0 ? convert(given.uids) : own(host.uidMap),
    gids: given && given.gids.length > 0 ? convert(given.gids) : own(host.gidMap),
  };
}

function hostIds(mappings: Mappings | undefined, uid: number, gid: number): { uid: number; gid: number } {
  if (!mappings) return { uid, gid };
  return { uid: hostId(mappings.uids, uid, 'user'), gid: hostId(mappings.gids, gid, 'group') };
}

function hostId(ranges: readonly SpecIdMapping[], id: number, what: string): number {
  const range = ranges.find((entry) => id >= entry.containerID && id < entry.containerID + entry.size);
  if (range) return range.hostID + id - range.containerID;
  throw new BuildError('bad-user', `the ${what} id ${id} is not mapped in the container's user namespace`);
}

function hasId(ranges: readonly SpecIdMapping[], id: number): boolean {
  return ranges.some((range) => id >= range.containerID && id < range.containerID + range.size);
}

function groupsOf(request: RunRequest, user: ResolvedUser): number[] {
  const added = (request.additionalGroups ?? []).map((group) => {
    if (/^[0-9]{1,10}$/.test(group) && Number(group) < 0xffff_ffff) return Number(group);
    throw new BuildError('bad-user', `the additional group "${group}" is not a group id`);
  });
  return [...new Set([...user.groups, ...added])];
}

/** Only `NAME=value` entries; anything else would be filled from a host's environment by careless code (SECURITY B16). */
function environmentOf(request: RunRequest, user: ResolvedUser, hostname: string): string[] {
  const given = request.environment.filter((entry) => /^[^=\0]+=[^\0]*$/s.test(entry));
  const has = (name: string) => given.some((entry) => entry.startsWith(`${name}=`));
  if (!has('PATH')) given.push('PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
  if (!has('HOSTNAME')) given.push(`HOSTNAME=${hostname}`);
  if (!has('HOME')) given.push(`HOME=${user.home}`);
  if (request.terminal && !has('TERM')) given.push('TERM=xterm');
  return given;
}

function sysctlsOf(
  request: RunRequest,
  kinds: ReadonlySet<SpecNamespaceType>,
): { sysctl?: Record<string, string> } {
  const owner = (name: string): SpecNamespaceType | undefined => {
    if (name.startsWith('net.')) return 'network';
    if (name.startsWith('fs.mqueue.')) return 'ipc';
    if (name === 'kernel.hostname' || name === 'kernel.domainname') return 'uts';
    return undefined;
  };
  const entries = (request.sysctls ?? []).flatMap((entry) => {
    const [, name = '', value = ''] = /^([^=]+)=(.*)$/s.exec(entry) ?? [];
    const kind = owner(name);
    return kind && kinds.has(kind) ? [[name, value] as const] : [];
  });
  return entries.length > 0 ? { sysctl: Object.fromEntries(entries) } : {};
}

interface FileSituation {
  readonly kinds: ReadonlySet<SpecNamespaceType>;
  readonly hostname: string;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly host: HostFacts;
  readonly network: NetworkOffer | undefined;
}

function generatedFiles(request: RunRequest, situation: FileSituation): SpecMount[] {
  const mounts: SpecMount[] = [];
  const directory = join(request.stateDirectory, 'files');
  mkdirSync(directory, { mode: 0o755 });
  const add = (destination: string, text: string, mode = 0o644) => {
    if (request.volumes?.includes(destination)) return;
    const source = join(directory, posix.basename(destination));
    writeFileSync(source, text, { mode });
    chown(source, situation.owner);
    mounts.push({ destination, type: 'bind', source, options: ['rbind', 'rprivate'] });
  };
  if (request.hosts !== false && request.network.mode !== 'none')
    add('/etc/hosts', hostsText(request, situation));
  if (request.hostnameFile !== false) add('/etc/hostname', `${situation.hostname}\n`);
  const dns = request.dns ?? { servers: [], search: [], options: [] };
  const resolvers = request.resolvConf !== false && request.network.mode !== 'none';
  if (resolvers && dns.servers[0]?.toLowerCase() !== 'none')
    add('/etc/resolv.conf', resolverText(dns, situation));
  add('/run/.containerenv', containerEnvText(request, situation.host), 0o755);
  return mounts;
}

function resolverText(dns: NonNullable<RunRequest['dns']>, { kinds, network }: FileSituation): string {
  return resolverFile({
    base: hostText('/etc/resolv.conf'),
    ...dns,
    ownNetwork: kinds.has('network'),
    networkServers: network?.resolvers,
    keepHostServers: network !== undefined,
  });
}

function hostsText(request: RunRequest, { hostname, kinds, network }: FileSituation): string {
  const hosts = request.hosts || { entries: [] };
  const hostIs = hostAddress();
  const own = kinds.has('network') ? network?.address : hostIs;
  return hostsFile({
    extra: hosts.entries.map((entry) => ({ address: entry.address, names: entry.name.split(';') })),
    base: hostText('baseFile' in hosts && hosts.baseFile !== undefined ? hosts.baseFile : '/etc/hosts'),
    own: hostname !== '' && own ? [{ address: own, names: [hostname] }] : [],
    hostGateway: hostIs,
  });
}

function hostText(path: string): string {
  try {
    return path === '' ? '' : readFileSync(path, 'utf8');
  } catch {
    // The host may lack the file: the container's then has the generated lines alone.
    return '';
  }
}

function containerEnvText(request: RunRequest, host: HostFacts): string {
  const facts = request.containerEnv;
  if (!facts) return '';
  const lines = [
    `engine=${JSON.stringify(facts.engine)}`,
    `name=${JSON.stringify(facts.name)}`,
    `id=${JSON.stringify(facts.id)}`,
    `image=${JSON.stringify(facts.image)}`,
    `imageid=${JSON.stringify(facts.imageId)}`,
    `rootless=${host.rootless ? 1 : 0}`,
  ];
  return `\n${lines.join('\n')}\n`;
}

function chown(path: string, owner: { readonly uid: number; readonly gid: number }): void {
  if (owner.uid !== process.geteuid?.()) chownSync(path, owner.uid, owner.gid);
}
