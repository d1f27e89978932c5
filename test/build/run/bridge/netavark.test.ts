import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import type { Lease } from '../../../../build/run/bridge/address-pool.ts';
import { callNetavark } from '../../../../build/run/bridge/netavark.ts';
import { findProgram } from '../../../../build/run/programs.ts';

const test = suite('build/run/bridge/netavark');
let directory: string;
test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'slipway-netavark-'));
});
test.after.each(() => rmSync(directory, { recursive: true, force: true }));

const lease = (name: string, driver: string, addresses: string[]): Lease => ({
  owner: 'me',
  network: {
    ...{ name, driver, id: 'ab'.repeat(32), subnets: [], dnsEnabled: true, addressDriver: '' },
    document: { name, driver, unknown: 1 },
  },
  addresses,
});
const LEASES = [lease('two', 'bridge', ['10.1.0.2', 'fd00::2']), lease('one', 'fancy', [])];

/** A program that keeps what it is asked, then does what the script says. */
function fake(script: string) {
  const netavark = join(directory, 'netavark');
  writeFileSync(
    netavark,
    `#!/bin/sh\ncd ${directory}\nprintf '%s\\n' "$@" >words\nenv >environment\ncat >input\n${script}\n`,
  );
  chmodSync(netavark, 0o755);
  return {
    ...{ netavark, aardvark: '/x/aardvark-dns', runDirectory: '/run/x', dnsPort: 0, firewall: '' },
    pluginDirectories: ['/plugins'],
  };
}
const call = (script: string, extra: object = {}, signal?: AbortSignal, leases: readonly Lease[] = LEASES) =>
  callNetavark(
    'setup',
    '/proc/1/fd/9',
    leases,
    { ...fake(script), ...extra },
    { scratch: directory, signal },
  );
const kept = (name: string) => readFileSync(join(directory, name), 'utf8');

const ANSWER = JSON.stringify({
  one: { interfaces: { eth1: { mac_address: '', subnets: [{ ipnet: '10.2.0.9/16' }] } } },
  two: {
    dns_server_ips: ['10.1.0.1'],
    dns_search_domains: ['dns.podman'],
    interfaces: { eth0: { mac_address: '', subnets: [{ ipnet: '10.1.0.2/24' }, { ipnet: 'fd00::2/64' }] } },
  },
});

test('it is asked as Podman asks it, and its answer is read in the order of the networks', async () => {
  deepEqual(await call(`echo '${ANSWER}'; echo 'a warning' >&2`), {
    addresses: ['10.1.0.2', 'fd00::2', '10.2.0.9'],
    resolvers: ['10.1.0.1'],
  });
  deepEqual(kept('words').trim().split('\n'), [
    ...['--config', '/run/x', '--rootless=false', '--aardvark-binary=/x/aardvark-dns'],
    ...['--plugin-directory', '/plugins', 'setup', '/proc/1/fd/9'],
  ]);
  deepEqual(JSON.parse(kept('input')), {
    container_id: 'me',
    container_name: 'me',
    networks: {
      two: { static_ips: ['10.1.0.2', 'fd00::2'], interface_name: 'eth0' },
      one: { interface_name: 'eth1' },
    },
    network_info: {
      two: { name: 'two', driver: 'bridge', unknown: 1 },
      one: { name: 'one', driver: 'fancy', unknown: 1 },
    },
  });
});

test('settings of containers.conf reach it, the caller does not', async () => {
  process.env.SLIPWAY_TEST_SECRET = 'secret';
  try {
    const only = [lease('two', 'bridge', [])];
    await call(`echo '${ANSWER}'`, { dnsPort: 5353, firewall: 'none', aardvark: undefined }, undefined, only);
  } finally {
    delete process.env.SLIPWAY_TEST_SECRET;
  }
  const environment = kept('environment').split('\n');
  ok(environment.includes('NETAVARK_DNS_PORT=5353') && environment.includes('NETAVARK_FW=none'));
  ok(!kept('environment').includes('secret'));
  ok(kept('words').includes('--aardvark-binary=\n') && !kept('words').includes('--plugin-directory'));
});

test('what it complains of is the error, in one line', async () => {
  const code = 'isolation-unavailable';
  for (const [script, message] of [
    [`echo '{"error":"no bridge\\\\n here"}'; exit 1`, 'netavark: no bridge here'],
    ['echo first >&2; echo "last line" >&2; exit 3', 'netavark: last line'],
    ['exit 1', 'netavark: it ended without a word'],
    ['kill -9 $$', 'netavark: it ended without a word'],
    ['echo "{}"', 'netavark: its answer does not speak of every network'],
    ['echo nonsense', 'netavark: its answer does not speak of every network'],
  ] as const)
    await rejects(call(script), { code, message }, script);
  await rejects(call('', { netavark: '/nowhere/netavark' }), { code });
});

test('a name server that it leaves behind is not waited for', async () => {
  const began = performance.now();
  await call(`sleep 20 & echo $! >daemon; echo '${ANSWER}'`);
  process.kill(Number(kept('daemon')));
  ok(performance.now() - began < 10_000);
});

test('it is stopped when the run is called off, with the reason for it', async () => {
  const aborter = new AbortController();
  const reason = new Error('enough');
  const began = performance.now();
  setTimeout(() => aborter.abort(reason), 50);
  await rejects(call('exec sleep 20', {}, aborter.signal), reason);
  ok(performance.now() - began < 10_000);
});

test('helpers are files that may be executed, in the first directory that has one', () => {
  for (const name of ['a', 'b', 'c']) mkdirSync(join(directory, name));
  mkdirSync(join(directory, 'a/helper'));
  writeFileSync(join(directory, 'b/helper'), '', { mode: 0o755 });
  const directories = ['a', 'b', 'c', 'missing'].map((name) => join(directory, name));
  equal(findProgram('helper', directories), join(directory, 'b/helper'));
  equal(findProgram('other', directories), undefined);
});

test.run();
