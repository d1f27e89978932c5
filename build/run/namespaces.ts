import { BuildError } from '../error.ts';
import type { NamespaceKind, RunRequest } from './contract.ts';
import type { HostFacts } from './host.ts';
import type { SpecIdMapping, SpecNamespace, SpecNamespaceType } from './runtime-spec.ts';

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
export function chooseNamespaces(request: RunRequest, host: HostFacts): SpecNamespace[] {
  const wanted = { ...DEFAULTS, cgroup: host.cgroup2 ? 'private' : 'host', ...request.namespaces };
  if (request.network.mode === 'none') wanted.network = 'private';
  else if (request.network.mode === 'host') wanted.network = 'host';
  else if (request.network.path) wanted.network = `ns:${request.network.path}`;
  else if (request.isolation === 'chroot') wanted.network = 'host';
  wanted.mount = 'private';
  if (request.isolation === 'chroot') wanted.cgroup = 'host';
  if (request.idMappings && !wanted.user.startsWith('ns:')) wanted.user = 'private';
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

export interface Mappings {
  readonly uids: readonly SpecIdMapping[];
  readonly gids: readonly SpecIdMapping[];
}

/** The caller's ranges, else the ids of our own namespace one to one. */
export function idMappings(request: RunRequest, host: HostFacts): Mappings {
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

export function hostIds(
  mappings: Mappings | undefined,
  uid: number,
  gid: number,
): { uid: number; gid: number } {
  if (!mappings) return { uid, gid };
  return { uid: hostId(mappings.uids, uid, 'user'), gid: hostId(mappings.gids, gid, 'group') };
}

function hostId(ranges: readonly SpecIdMapping[], id: number, what: string): number {
  const range = ranges.find((entry) => id >= entry.containerID && id < entry.containerID + entry.size);
  if (range) return range.hostID + id - range.containerID;
  throw new BuildError('bad-user', `the ${what} id ${id} is not mapped in the container's user namespace`);
}

export function hasId(ranges: readonly SpecIdMapping[], id: number): boolean {
  return ranges.some((range) => id >= range.containerID && id < range.containerID + range.size);
}
