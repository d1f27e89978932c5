import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { findNetworks } from '../../../../build/run/bridge/networks.ts';

const test = suite('build/run/bridge/networks');
let directory: string;
test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'slipway-networks-'));
});
test.after.each(() => rmSync(directory, { recursive: true, force: true }));

const ID = 'ab'.repeat(32);
const base = { name: 'mine', id: ID, driver: 'bridge', subnets: [{ subnet: '10.9.0.0/24' }] };
const write = (name: string, value: unknown) =>
  writeFileSync(join(directory, name), typeof value === 'string' ? value : JSON.stringify(value));

function find(...names: string[]) {
  const warnings: string[] = [];
  const places = { configDirectory: directory, defaultNetwork: 'podman', defaultSubnet: '10.88.0.0/16' };
  return { networks: findNetworks(names, places, (text) => warnings.push(text)), warnings };
}

test('the default network needs no file, and no directory', () => {
  rmSync(directory, { recursive: true });
  const [network] = find('podman').networks;
  equal(network?.document.network_interface, 'podman0');
  deepEqual(network?.document.subnets, [{ subnet: '10.88.0.0/16', gateway: '10.88.0.1' }]);
  equal(network?.addressDriver, 'host-local');
});

test('a file of the default network counts, and what we do not know in it is passed on', () => {
  write('podman.json', {
    ...base,
    name: 'podman',
    dns_enabled: true,
    options: { mtu: '1400' },
    subnets: [{ subnet: '10.9.0.7/24', gateway: '10.9.0.254', lease_range: { start_ip: '10.9.0.8' } }],
  });
  const [network] = find('podman').networks;
  equal(network?.dnsEnabled, true);
  deepEqual(network?.document.options, { mtu: '1400' });
  deepEqual(JSON.parse(JSON.stringify(network?.document.subnets)), [
    { subnet: '10.9.0.0/24', gateway: '10.9.0.254', lease_range: { start_ip: '10.9.0.8' } },
  ]);
});

test('networks are found by name, by id and by the beginning of one', () => {
  write('mine.json', base);
  write('other.json', { ...base, name: 'other', id: `ac${'ab'.repeat(31)}` });
  deepEqual(
    find('other', ID, 'podman').networks.map((network) => network.name),
    ['other', 'mine', 'podman'],
  );
  deepEqual(
    find('ab').networks.map((network) => network.name),
    ['mine'],
  );
  throws(() => find('a'), { message: 'more than one result for network ID a' });
  throws(() => find('nope'), {
    code: 'bad-option',
    message: 'unable to find network with name or ID nope: network not found',
  });
  throws(() => find(''), { code: 'bad-option' });
  throws(() => find('mine', 'ab'), { message: 'network mine passed twice in NetworkOptions' });
});

test('a network that leads nowhere has no gateway', () => {
  write('mine.json', { ...base, internal: true });
  equal(find('mine').networks[0]?.subnets[0]?.gateway, undefined);
  write('mine.json', { ...base, internal: true, dns_enabled: true });
  equal(find('mine').networks[0]?.subnets[0]?.gateway, '10.9.0.1');
});

test('a file that cannot be used is left out with a warning', () => {
  for (const [what, value] of [
    ['text', 'not JSON'],
    ['a list', []],
    ['another name', { ...base, name: 'other' }],
    ['a name with a slash', { ...base, name: '../mine' }],
    ['a short id', { ...base, id: 'ab' }],
    ['no driver', { ...base, driver: undefined }],
    ['a bad subnet', { ...base, subnets: [{ subnet: '10.9.0.0' }] }],
    ['a gateway elsewhere', { ...base, subnets: [{ subnet: '10.9.0.0/24', gateway: '10.8.0.1' }] }],
    ['subnets as text', { ...base, subnets: '10.9.0.0/24' }],
    ['a huge file', `${JSON.stringify(base)}${' '.repeat(2 << 20)}`],
  ] as const) {
    write('mine.json', value);
    const { warnings } = find('podman');
    equal(warnings.length, 1, what);
    match(warnings[0] ?? '', /^the network file .*mine\.json is left out: /, what);
    throws(() => find('mine'), { code: 'bad-option' }, what);
  }
});

test.run();
