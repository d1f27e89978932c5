import type { BoltBucket } from '../../../store/bolt/bucket.ts';
import { updateBolt } from '../../../store/bolt/database.ts';
import { BuildError } from '../../error.ts';
import {
  type Address,
  contains,
  formatAddress,
  lastAddress,
  parseAddress,
  parseSubnet,
  step,
} from './addresses.ts';
import type { Network, NetworkSubnet } from './networks.ts';

/** Addresses of one owner on one network; none where the network gives out none from here. */
export interface Lease {
  readonly owner: string;
  readonly network: Network;
  readonly addresses: readonly string[];
}

/**
 * The database that Podman and Buildah keep of addresses: a bucket for each network, in it a bucket
 * `ids` (owner to a JSON list) and one for each subnet (address to owner, and `lastIP`).
 */
const IDS = 'ids';
const LAST = 'lastIP';

interface Claim {
  readonly owner: string;
  readonly networks: readonly Network[];
  /** Whether an owner has died without giving its addresses back. */
  readonly isDead: (owner: string) => boolean;
  readonly signal?: AbortSignal;
}

/**
 * Takes one free address in each subnet of the networks, after those of dead owners have been given back.
 * @returns `own` leases, one for each network, and those `left` by the dead
 * @throws BuildError `isolation-unavailable` where a subnet is used up; StoreError for a damaged database
 */
export async function takeAddresses(
  database: string,
  { owner, networks, isDead, signal }: Claim,
): Promise<{ readonly own: Lease[]; readonly left: Lease[] }> {
  if (!networks.some(givesAddresses))
    return { own: networks.map((network) => ({ owner, network, addresses: [] })), left: [] };
  const change = (root: BoltBucket) => {
    const left = networks.filter(givesAddresses).flatMap((network) => giveBackDead(root, network, isDead));
    return { own: networks.map((network) => take(root, owner, network)), left };
  };
  return updateBolt(database, change, { signal });
}

/** Gives the addresses of an owner back; what is not its own stays. */
export async function giveAddressesBack(database: string, leases: readonly Lease[]): Promise<void> {
  if (!leases.some(({ network }) => givesAddresses(network))) return;
  await updateBolt(database, (root) => {
    for (const { owner, network } of leases) giveBack(root.bucket(network.name), owner, network);
  });
}

function givesAddresses({ addressDriver, subnets }: Network): boolean {
  return (addressDriver === '' || addressDriver === 'host-local') && subnets.length > 0;
}

function take(root: BoltBucket, owner: string, network: Network): Lease {
  if (!givesAddresses(network)) return { owner, network, addresses: [] };
  const bucket = root.ensureBucket(network.name);
  const addresses = network.subnets.map((subnet) => {
    const taken = bucket.ensureBucket(subnet.subnet);
    const address = freeAddress(taken, subnet);
    taken.put(LAST, address);
    taken.put(address, owner);
    return formatAddress(address);
  });
  bucket.ensureBucket(IDS).put(owner, JSON.stringify(addresses));
  return { owner, network, addresses };
}

/** The next one after the last that was given out, from the end of the range round to its start. */
function freeAddress(taken: BoltBucket, { subnet: text, ...subnet }: NetworkSubnet): Address {
  const { first, last } = rangeOf(text, subnet);
  const gateway = subnet.gateway === undefined ? undefined : parseAddress(subnet.gateway);
  const before = taken.get(LAST);
  const isKnown = before?.length === first.length;
  let candidate = isKnown ? step(before, 1) : first;
  const isInRange = (address: Address) => address.compare(first) >= 0 && address.compare(last) <= 0;
  if (!isInRange(candidate)) candidate = first;
  const start = candidate;
  while (isInRange(candidate)) {
    if (!(gateway && candidate.equals(gateway)) && taken.get(candidate) === undefined) return candidate;
    candidate = step(candidate, 1);
    if (!isInRange(candidate)) candidate = first;
    if (candidate.equals(start)) break;
  }
  const range = `${formatAddress(first)} - ${formatAddress(last)}`;
  throw new BuildError('isolation-unavailable', `IPAM error: failed to find free IP in range: ${range}`);
}

/** The network's own address is nobody's, nor is the last one, which IPv4 uses for broadcasts. */
function rangeOf(text: string, { leaseStart, leaseEnd }: Omit<NetworkSubnet, 'subnet'>) {
  const subnet = parseSubnet(text);
  if (subnet === undefined) throw new Error(`the subnet ${text} has been looked at before`);
  const first = parseAddress(leaseStart ?? '') ?? subnet.address;
  const end = lastAddress(subnet);
  const last = parseAddress(leaseEnd ?? '') ?? end;
  return {
    first: first.equals(subnet.address) ? step(first, 1) : first,
    last: last.length === 4 && last.equals(end) ? step(last, -1) : last,
  };
}

function giveBackDead(root: BoltBucket, network: Network, isDead: (owner: string) => boolean): Lease[] {
  const bucket = root.bucket(network.name);
  const owners = bucket?.bucket(IDS)?.entries() ?? [];
  return owners
    .map(([owner]) => owner.toString('utf8'))
    .filter(isDead)
    .map((owner) => giveBack(bucket, owner, network));
}

function giveBack(bucket: BoltBucket | undefined, owner: string, network: Network): Lease {
  const ids = bucket?.bucket(IDS);
  const addresses = addressList(ids?.get(owner));
  for (const { subnet: text } of network.subnets) {
    const taken = bucket?.bucket(text);
    const subnet = parseSubnet(text);
    for (const address of addresses)
      if (subnet && contains(subnet, address) && taken?.get(address)?.toString('utf8') === owner)
        taken.delete(address);
  }
  ids?.delete(owner);
  return { owner, network, addresses: addresses.map(formatAddress) };
}

/** What another program wrote there may be anything. */
function addressList(value: Buffer | undefined): Address[] {
  try {
    const list: unknown = JSON.parse(value?.toString('utf8') ?? '[]');
    const texts = Array.isArray(list) ? list.filter((item) => typeof item === 'string') : [];
    return texts.map(parseAddress).filter((address) => address !== undefined);
  } catch {
    return [];
  }
}
