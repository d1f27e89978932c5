import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import type { RequestedHosts, RunRequest } from './contract.ts';
import type { HostFacts } from './host.ts';
import {
  hostAddress,
  hostsFile,
  type ResolverParts,
  realResolverPath,
  resolverFile,
} from './network-files.ts';
import type { SpecMount, SpecNamespaceType } from './runtime-spec.ts';

/** What a private network brings into the generated files. */
export interface NetworkOffer {
  /** Resolvers that it offers to the container. */
  readonly resolvers: readonly string[];
  /** Those of the container in it. */
  readonly addresses: readonly string[];
  /** By which containers reach this host; absent: by any address of the host that is not theirs. */
  readonly host?: string | undefined;
  /** Where the resolvers are asked instead of the host's, if there are any: on a bridge, by netavark. */
  readonly isBridge?: boolean;
}

export interface FileSituation {
  readonly kinds: ReadonlySet<SpecNamespaceType>;
  readonly hostname: string;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly host: HostFacts;
  readonly network: NetworkOffer | undefined;
}

/**
 * Writes hosts, hostname, resolv.conf and .containerenv into the state directory, as the request asks, and gives the
 * mounts that put them into the container. A file that is a volume of the image stays the image's.
 */
export function generatedFiles(request: RunRequest, situation: FileSituation): SpecMount[] {
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

function resolverText(dns: NonNullable<RunRequest['dns']>, situation: FileSituation): string {
  const ownNetwork = situation.kinds.has('network');
  const text = hostText('/etc/resolv.conf');
  return resolverFile({
    base: (ownNetwork && hostText(realResolverPath(text) ?? '')) || text,
    ...dns,
    ownNetwork,
    ...offeredResolvers(situation),
  });
}

/** Those of a bridge are asked alone, those of a user-mode stack before the host's, as Buildah does. */
function offeredResolvers({ network }: FileSituation): Partial<ResolverParts> {
  if (network === undefined) return {};
  return {
    networkServers: network.resolvers,
    keepHostServers: !network.isBridge,
    withoutIpv6: !network.addresses.some((address) => address.includes(':')),
  };
}

function hostsText(request: RunRequest, { hostname, kinds, network }: FileSituation): string {
  const hosts: RequestedHosts = request.hosts || { entries: [] };
  const hostIs = hostAddress();
  const hasNetwork = kinds.has('network');
  const own = hasNetwork ? ownAddresses(network) : [hostIs].filter((one) => one !== undefined);
  const names = hasNetwork ? ownNames(hostname, request) : [hostname];
  return hostsFile({
    extra: hosts.entries.map((entry) => ({ address: entry.address, names: entry.name.split(';') })),
    base: hostText(hosts.baseFile ?? '/etc/hosts'),
    own: hostname === '' ? [] : own.map((address) => ({ address, names })),
    hostGateway: gateway(hosts, network),
  });
}

function gateway(
  { hostAddress: given }: RequestedHosts,
  network: NetworkOffer | undefined,
): string | undefined {
  if (given === 'none') return undefined;
  return given ?? network?.host ?? hostAddress(network?.addresses);
}

/** On a bridge all, elsewhere the first, as Buildah writes them. */
function ownAddresses(network: NetworkOffer | undefined): readonly string[] {
  const addresses = network?.addresses ?? [];
  return network?.isBridge ? addresses : addresses.slice(0, 1);
}

/** The host name, and the container's own name where it has one: a network of its own knows it by both. */
function ownNames(hostname: string, request: RunRequest): string[] {
  const name = request.containerEnv?.name;
  return name && name !== hostname ? [hostname, name] : [hostname];
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
