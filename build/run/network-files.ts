import { networkInterfaces } from 'node:os';
import { BuildError } from '../error.ts';

export interface HostEntry {
  readonly address: string;
  readonly names: readonly string[];
}

/** What goes into the /etc/hosts of a RUN. */
export interface HostsFileParts {
  /** `--add-host` entries; the address `host-gateway` stands for the host as the container sees it. */
  readonly extra: readonly HostEntry[];
  /** Text of the file that the entries are added to: the host's own by default. */
  readonly base: string;
  /** The container's own names and address; names that stand in the file already are left out. */
  readonly own: readonly HostEntry[];
  /** Address of `host.containers.internal`; absent: no such entry. */
  readonly hostGateway?: string;
}

/**
 * The text of a hosts file in the order of containers/common: extra entries, the base file without comments,
 * localhost, the host's name for containers, the container itself.
 * @throws BuildError `bad-option` for `host-gateway` where the address is not known
 */
export function hostsFile(parts: HostsFileParts): string {
  const given = [
    ...parts.extra.map((entry) => resolveGateway(entry, parts.hostGateway)),
    ...parseHosts(parts.base),
  ];
  const names = new Set(given.flatMap((entry) => entry.names));
  const later: HostEntry[] = [
    { address: '127.0.0.1', names: ['localhost'] },
    { address: '::1', names: ['localhost'] },
  ];
  if (parts.hostGateway !== undefined)
    later.push({ address: parts.hostGateway, names: ['host.containers.internal', 'host.docker.internal'] });
  later.push(...parts.own);
  const added = later
    .map((entry) => ({ ...entry, names: entry.names.filter((name) => !names.has(name)) }))
    .filter((entry) => entry.names.length > 0);
  return [...given, ...added].map((entry) => `${entry.address}\t${entry.names.join(' ')}\n`).join('');
}

function resolveGateway(entry: HostEntry, gateway: string | undefined): HostEntry {
  if (entry.address !== 'host-gateway') return entry;
  if (gateway === undefined)
    throw new BuildError(
      'bad-option',
      `unable to replace "host-gateway" of host entry "${entry.names.join(';')}": the host has no address`,
    );
  return { ...entry, address: gateway };
}

function parseHosts(text: string): HostEntry[] {
  return text.split('\n').flatMap((line) => {
    const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    return address && names.length > 0 ? [{ address, names }] : [];
  });
}

/** The first address of this host that is neither loopback nor a container's own; IPv4 before IPv6. */
export function hostAddress(containers: readonly string[] = []): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outer = addresses.filter(
    ({ internal, address }) => !(internal || address.startsWith('fe80:') || containers.includes(address)),
  );
  return (outer.find((entry) => entry.family === 'IPv4') ?? outer[0])?.address;
}

export interface ResolverParts {
  /** Text of the host's resolv.conf. */
  readonly base: string;
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
  /** The container has a network of its own, where the host's loopback and link-local resolvers cannot be reached. */
  readonly ownNetwork: boolean;
  /** Resolvers that the network set-up offers (pasta's forwarder, netavark's aardvark). */
  readonly networkServers?: readonly string[];
  /** Keep the host's resolvers behind {@link networkServers}. */
  readonly keepHostServers?: boolean;
  /** The container's network has no IPv6, so that such resolvers of the host cannot be reached. */
  readonly withoutIpv6?: boolean;
}

const STUBS: Readonly<Record<string, string>> = {
  '127.0.0.53': '/run/systemd/resolve/resolv.conf',
  '127.0.0.1': '/run/NetworkManager/no-stub-resolv.conf',
};

/**
 * Where the resolvers are written that a resolver on the host's loopback asks, which a container cannot reach.
 * Undefined where the host's resolv.conf names others too.
 */
export function realResolverPath(text: string): string | undefined {
  const { servers } = parseResolver(text);
  return servers.length === 1 ? STUBS[servers[0] ?? ''] : undefined;
}

const PUBLIC_RESOLVERS = ['8.8.8.8', '8.8.4.4'];

/** The text of a resolv.conf as containers/common makes it: given values win over the host's, kind by kind. */
export function resolverFile(parts: ResolverParts): string {
  const host = parseResolver(parts.base);
  let servers: readonly string[] = parts.servers.length > 0 ? parts.servers : (parts.networkServers ?? []);
  if (servers.length === 0 || (parts.servers.length === 0 && parts.keepHostServers)) {
    const isReachable = (server: string) =>
      !(parts.ownNetwork && isLocal(server)) && !(parts.withoutIpv6 && server.includes(':'));
    const reachable = host.servers.filter(isReachable);
    servers = [...servers, ...reachable];
    if (servers.length === 0 && parts.ownNetwork) servers = PUBLIC_RESOLVERS;
  }
  const search = parts.search.length > 0 ? parts.search : host.search;
  const options = parts.options.length > 0 ? parts.options : host.options;
  const lines = servers.map((server) => `nameserver ${server}`);
  if (search.length > 0 && search.join(' ') !== '.') lines.unshift(`search ${search.join(' ')}`);
  if (options.length > 0) lines.push(`options ${options.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

function isLocal(server: string): boolean {
  return /^127\./.test(server) || server === '::1' || server.includes('%');
}

function parseResolver(text: string): { servers: string[]; search: string[]; options: string[] } {
  const found = { servers: [] as string[], search: [] as string[], options: [] as string[] };
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'nameserver' && values[0]) found.servers.push(values[0]);
    if (keyword === 'search' && values.length > 0) found.search = values;
    if (keyword === 'options' && values.length > 0) found.options = values;
  }
  return found;
}
