import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, isSystemError } from '../../../errors.ts';
import { BuildError } from '../../error.ts';
import { contains, formatAddress, formatSubnet, parseAddress, parseSubnet, step } from './addresses.ts';

/** A network as Podman stores it and netavark is told of it; what we do not look at is passed on as it is. */
export interface Network {
  readonly name: string;
  readonly id: string;
  readonly driver: string;
  readonly subnets: readonly NetworkSubnet[];
  readonly dnsEnabled: boolean;
  /** Of its `ipam_options`: how addresses are given out. */
  readonly addressDriver: string;
  /** For netavark's `network_info`. */
  readonly document: Readonly<Record<string, unknown>>;
}

export interface NetworkSubnet {
  readonly subnet: string;
  readonly gateway?: string;
  readonly leaseStart?: string;
  readonly leaseEnd?: string;
}

/** Where networks are defined, of containers.conf. */
export interface NetworkPlaces {
  readonly configDirectory: string;
  readonly defaultNetwork: string;
  readonly defaultSubnet: string;
}

/** The id that every such tool gives the default network. */
const DEFAULT_ID = '2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9';
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const LIMIT_BYTES = 1 << 20;

/**
 * Finds networks by name, or by an id or the beginning of one, in the files of the directory. The default network
 * need not have a file.
 * @throws BuildError `bad-option` for a name that no network has, or an id that several have
 */
export function findNetworks(
  names: readonly string[],
  places: NetworkPlaces,
  onWarning: (text: string) => void,
): Network[] {
  const known = new Map(
    readNetworks(places.configDirectory, onWarning).map((network) => [network.name, network]),
  );
  if (!known.has(places.defaultNetwork)) known.set(places.defaultNetwork, defaultNetwork(places));
  const found = names.map((name) => known.get(name) ?? byId(name, [...known.values()]));
  const twice = found.find((network, index) => found.indexOf(network) !== index);
  if (twice) throw new BuildError('bad-option', `network ${twice.name} passed twice in NetworkOptions`);
  return found;
}

function byId(id: string, networks: readonly Network[]): Network {
  const found = networks.filter((network) => network.id.startsWith(id));
  if (found.length > 1) throw new BuildError('bad-option', `more than one result for network ID ${id}`);
  if (found[0] && id !== '') return found[0];
  throw new BuildError('bad-option', `unable to find network with name or ID ${id}: network not found`, {
    hint: 'podman network ls lists the networks that there are, podman network create makes one.',
  });
}

function defaultNetwork({ defaultNetwork: name, defaultSubnet }: NetworkPlaces): Network {
  if (parseSubnet(defaultSubnet) === undefined)
    throw new BuildError(
      'bad-option',
      `failed to parse default subnet: invalid CIDR address: ${defaultSubnet}`,
    );
  return parseNetwork({
    name,
    id: DEFAULT_ID,
    driver: 'bridge',
    network_interface: 'podman0',
    created: '0001-01-01T00:00:00Z',
    subnets: [{ subnet: defaultSubnet }],
    ipv6_enabled: false,
    internal: false,
    dns_enabled: false,
    ipam_options: { driver: 'host-local' },
  });
}

/** A file that cannot be used is passed over with a warning, as the original does. */
function readNetworks(directory: string, onWarning: (text: string) => void): Network[] {
  return filesOf(directory).flatMap((file) => {
    const path = join(directory, file);
    try {
      const network = parseNetwork(JSON.parse(readLimited(path)));
      if (`${network.name}.json` !== file) throw new SyntaxError(`it is of the network "${network.name}"`);
      return [network];
    } catch (error) {
      if (isSystemError(error, 'ENOENT')) return [];
      onWarning(`the network file ${path} is left out: ${(error as Error).message}`);
      return [];
    }
  });
}

function filesOf(directory: string): string[] {
  const names = ifThere(() => readdirSync(directory), 'ENOENT') ?? [];
  return names.filter((name) => name.endsWith('.json')).sort();
}

function readLimited(path: string): string {
  const bytes = readFileSync(path);
  if (bytes.length > LIMIT_BYTES) throw new SyntaxError(`it has more than ${LIMIT_BYTES} bytes`);
  return bytes.toString('utf8');
}

type Json = Readonly<Record<string, unknown>>;

/** @throws SyntaxError for anything that Podman would not have written */
function parseNetwork(value: unknown): Network {
  const json = object(value, 'it');
  const name = text(json.name, 'its name');
  const id = text(json.id, 'its id');
  if (!NAME.test(name)) throw new SyntaxError(`its name ${JSON.stringify(name)} is not valid`);
  if (id.length !== 64) throw new SyntaxError(`its id ${JSON.stringify(id)} is not valid`);
  const needsGateway = json.internal !== true || json.dns_enabled === true;
  const subnets = list(json.subnets).map((entry) =>
    parseNetworkSubnet(object(entry, 'a subnet'), needsGateway),
  );
  const isSix = subnets.some(({ subnet }) => subnet.includes(':'));
  return {
    name,
    id,
    driver: text(json.driver, 'its driver'),
    subnets,
    dnsEnabled: json.dns_enabled === true,
    addressDriver: text(
      object(json.ipam_options ?? {}, 'ipam_options').driver ?? '',
      'its driver of addresses',
    ),
    document: {
      ...json,
      ...(subnets.length > 0 ? { subnets: subnets.map(subnetDocument) } : {}),
      ipv6_enabled: json.ipv6_enabled === true || isSix,
    },
  };
}

/** The gateway is the first address where none is named and the network leads somewhere. */
function parseNetworkSubnet(json: Json, needsGateway: boolean): NetworkSubnet {
  const subnet = parseSubnet(text(json.subnet, 'a subnet'));
  if (subnet === undefined) throw new SyntaxError(`the subnet ${JSON.stringify(json.subnet)} is not valid`);
  const within = (value: unknown, what: string): string | undefined => {
    if (value === undefined || value === '') return undefined;
    const address = parseAddress(text(value, what));
    if (address && contains(subnet, address)) return formatAddress(address);
    throw new SyntaxError(`${what} ${JSON.stringify(value)} is not in the subnet ${formatSubnet(subnet)}`);
  };
  const range = object(json.lease_range ?? {}, 'a lease range');
  const size = subnet.address.length * 8;
  const first = subnet.prefix === size ? subnet.address : step(subnet.address, 1);
  return {
    subnet: formatSubnet(subnet),
    gateway: within(json.gateway, 'the gateway') ?? (needsGateway ? formatAddress(first) : undefined),
    leaseStart: within(range.start_ip, 'the start of the lease range'),
    leaseEnd: within(range.end_ip, 'the end of the lease range'),
  };
}

function subnetDocument({ subnet, gateway, leaseStart, leaseEnd }: NetworkSubnet): Json {
  const range = leaseStart || leaseEnd ? { lease_range: { start_ip: leaseStart, end_ip: leaseEnd } } : {};
  return { subnet, gateway, ...range };
}

function object(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw new SyntaxError(`${what} is not an object`);
}

function text(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  throw new SyntaxError(`${what} is not text`);
}

function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new SyntaxError('its subnets are not a list');
}
