import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { giveAddressesBack, takeAddresses } from '../../../../build/run/bridge/address-pool.ts';
import type { Network, NetworkSubnet } from '../../../../build/run/bridge/networks.ts';
import { isDeadOwner, newOwner } from '../../../../build/run/bridge/owner.ts';
import { updateBolt } from '../../../../store/bolt/database.ts';

const test = suite('build/run/bridge/address-pool');
const PODMAN = gunzipSync(
  readFileSync(new URL('../../../../fixtures/bolt/podman-ipam.db.gz', import.meta.url)),
);
let directory: string;
let database: string;
test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'slipway-pool-'));
  database = join(directory, 'ipam.db');
});
test.after.each(() => rmSync(directory, { recursive: true, force: true }));

const network = (name: string, ...subnets: NetworkSubnet[]): Network => ({
  ...{ name, subnets, id: 'ab'.repeat(32), driver: 'bridge', dnsEnabled: false },
  ...{ addressDriver: 'host-local', document: {} },
});
const nobody = () => false;
async function take(owner: string, one: Network, isDead = nobody): Promise<readonly string[]> {
  const { own } = await takeAddresses(database, { owner, networks: [one], isDead });
  return own[0]?.addresses ?? [];
}

test('what Podman gave out stays its own, in both kinds of subnets', async () => {
  writeFileSync(database, PODMAN);
  const both = network(
    'both',
    { subnet: '10.201.7.0/24', gateway: '10.201.7.1', leaseStart: '10.201.7.2', leaseEnd: '10.201.7.5' },
    { subnet: 'fd00:0:0:201::/64', gateway: 'fd00:0:0:201::1' },
  );
  deepEqual(await take('one', both), ['10.201.7.5', 'fd00:0:0:201::5']);
  deepEqual(await take('two', both), ['10.201.7.3', 'fd00:0:0:201::6']);
  await rejects(take('three', both), {
    message: 'IPAM error: failed to find free IP in range: 10.201.7.2 - 10.201.7.5',
  });
  await giveAddressesBack(database, [{ owner: 'one', network: both, addresses: [] }]);
  deepEqual(await take('three', both), ['10.201.7.5', 'fd00:0:0:201::7']);
});

test('records are those that Podman reads', async () => {
  await take('me', network('n', { subnet: '10.3.0.0/16', gateway: '10.3.0.1' }));
  await updateBolt(database, (root) => {
    const bucket = root.bucket('n');
    equal(bucket?.bucket('ids')?.get('me')?.toString(), '["10.3.0.2"]');
    const taken = bucket?.bucket('10.3.0.0/16');
    equal(taken?.get(Buffer.from([10, 3, 0, 2]))?.toString(), 'me');
    deepEqual(taken?.get('lastIP'), Buffer.from([10, 3, 0, 2]));
  });
});

test('ranges end before the broadcast address, begin after the network, and leave the gateway out', async () => {
  const given = async (subnet: NetworkSubnet, count: number) => {
    const one = network(Object.values(subnet).join(), subnet);
    const all: string[] = [];
    for (let index = 0; index < count; index += 1) all.push(...(await take(`o${index}`, one)));
    await rejects(take('more', one), { code: 'isolation-unavailable' });
    return all.join(' ');
  };
  equal(await given({ subnet: '10.1.0.0/30' }, 2), '10.1.0.1 10.1.0.2');
  equal(await given({ subnet: '10.1.0.0/30', gateway: '10.1.0.2' }, 1), '10.1.0.1');
  equal(await given({ subnet: '10.1.0.0/31' }, 0), '');
  equal(await given({ subnet: '10.1.0.0/32' }, 0), '');
  equal(await given({ subnet: 'fd00::/126' }, 3), 'fd00::1 fd00::2 fd00::3');
  equal(await given({ subnet: '10.1.0.0/24', leaseStart: '10.1.0.9', leaseEnd: '10.1.0.9' }, 1), '10.1.0.9');
});

test('networks whose addresses come from elsewhere touch no database', async () => {
  const dhcp = { ...network('n'), addressDriver: 'dhcp' };
  deepEqual(await take('me', dhcp), []);
  await giveAddressesBack(database, [{ owner: 'me', network: dhcp, addresses: [] }]);
  await rejects(async () => readFileSync(database), { code: 'ENOENT' });
});

test('two networks are taken together or not at all', async () => {
  const wide = network('wide', { subnet: '10.4.0.0/16' });
  const narrow = network('narrow', { subnet: '10.5.0.0/31' });
  await rejects(takeAddresses(database, { owner: 'me', networks: [wide, narrow], isDead: nobody }));
  await updateBolt(database, (root) => equal(root.bucket('wide'), undefined));
});

test('addresses of a killed process are given back, and nobody elses', async () => {
  writeFileSync(database, PODMAN);
  const one = network('n', { subnet: '10.3.0.0/24', gateway: '10.3.0.1' });
  const alive = newOwner();
  const dead = alive.replace(/-(\d+)-([0-9a-f]+)$/, '-1-$2');
  const elsewhere = dead.replace(/^slipway-\d+/, 'slipway-1');
  for (const owner of [dead, alive, elsewhere]) await take(owner, one);
  const { own, left } = await takeAddresses(database, {
    ...{ owner: 'me', networks: [one], isDead: isDeadOwner },
  });
  deepEqual(
    left.map(({ owner, addresses }) => [owner, addresses]),
    [[dead, ['10.3.0.2']]],
  );
  deepEqual(own[0]?.addresses, ['10.3.0.5']);
  await updateBolt(database, (root) => {
    const owners = root.bucket('n')?.bucket('ids')?.entries() ?? [];
    deepEqual(owners.map(([owner]) => owner.toString()).sort(), [alive, elsewhere, 'me'].sort());
    equal(root.bucket('both')?.bucket('ids')?.entries().length, 2);
  });
});

test('an owner names its process', () => {
  match(newOwner(), new RegExp(`^slipway-\\d+-${process.pid}-\\d+-[0-9a-f]{8}$`));
  equal(isDeadOwner(newOwner()), false);
  for (const other of ['buildah-buildah123', 'ab'.repeat(32), 'slipway-', ''])
    equal(isDeadOwner(other), false);
});

test('only the owner of an address gives it back', async () => {
  const one = network('n', { subnet: '10.3.0.0/24' });
  await take('me', one);
  await updateBolt(database, (root) => {
    const bucket = root.ensureBucket('n');
    bucket.ensureBucket('ids').put('thief', '["10.3.0.1", 7, "10.99.0.1", "nonsense"]');
    bucket.ensureBucket('ids').put('vandal', '{');
  });
  for (const owner of ['thief', 'vandal'])
    await giveAddressesBack(database, [{ owner, network: one, addresses: [] }]);
  await updateBolt(database, (root) => {
    equal(
      root
        .bucket('n')
        ?.bucket('10.3.0.0/24')
        ?.get(Buffer.from([10, 3, 0, 1]))
        ?.toString(),
      'me',
    );
    equal(root.bucket('n')?.bucket('ids')?.entries().length, 1);
  });
});

test.run();
