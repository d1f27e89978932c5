import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import type { BridgeSettings } from '../../../../build/run/bridge/settings.ts';
import type { RunRequest } from '../../../../build/run/contract.ts';
import { detectIsolation } from '../../../../build/run/detect.ts';
import { findProgram } from '../../../../build/run/programs.ts';
import { CONTAINERS_DEFAULTS } from '../../../../config/containers-defaults.ts';
import { BoltBucket } from '../../../../store/bolt/bucket.ts';
import { updateBolt } from '../../../../store/bolt/database.ts';
import { rootfs, run } from '../in-rootfs.ts';

const test = suite('build/run/bridge/open');
const HELPERS = CONTAINERS_DEFAULTS.engine.helper_binaries_dir;
const missing =
  detectIsolation().preferred !== 'oci'
    ? 'it needs root and a runtime'
    : findProgram('netavark', HELPERS) === undefined
      ? 'netavark is not installed'
      : undefined;

/** None of the other tests' or the machine's networks are disturbed by those of this process. */
const NUMBER = process.pid % 250;
const NAME = `slipway-test-${process.pid}`;
const SUBNET = `10.199.${NUMBER}.0/24`;
const INSIDE = new RegExp(`10\\.199\\.${NUMBER}\\.\\d+`, 'g');
const INTERFACE = `slwt${process.pid % 100_000}`;

let directory: string;
let settings: BridgeSettings;
test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'slipway-bridge-'));
  mkdirSync(join(directory, 'networks'));
  writeFileSync(
    join(directory, 'networks', `${NAME}.json`),
    JSON.stringify({
      ...{ name: NAME, id: 'f'.repeat(64), driver: 'bridge', network_interface: INTERFACE },
      ...{ created: '2026-01-01T00:00:00Z', subnets: [{ subnet: SUBNET }], ipv6_enabled: false },
      ...{ internal: false, dns_enabled: true, ipam_options: { driver: 'host-local' } },
    }),
  );
  settings = {
    ...{ backend: '', helperDirectories: HELPERS, pluginDirectories: [], dnsPort: 0, firewall: '' },
    ...{ defaultNetwork: NAME, defaultSubnet: SUBNET },
    configDirectory: join(directory, 'networks'),
    runDirectory: join(directory, 'run'),
    lockFile: join(directory, 'lock/netavark.lock'),
  };
});
test.after(() => rmSync(directory, { recursive: true, force: true }));

function testWithBridges(name: string, body: () => Promise<void>): void {
  if (missing === undefined) return void test(name, body);
  console.log(`SKIP ${name}: ${missing}`);
  test.skip(name, body);
}

const network = (...names: string[]): RunRequest['network'] => ({
  mode: 'private',
  bridge: settings,
  ...(names.length > 0 ? { names } : {}),
});

async function owners(database: string): Promise<number> {
  return updateBolt(database, (root) => {
    const buckets = root.entries().map(([, value]) => value);
    return buckets.reduce(
      (sum, bucket) =>
        sum + (bucket instanceof BoltBucket ? (bucket.bucket('ids')?.entries().length ?? 0) : 0),
      0,
    );
  });
}

/** No bridge, rule, name server or address of ours. */
async function isCleanedUp(): Promise<void> {
  equal(await owners(join(directory, 'run/ipam.db')), 0);
  equal(networkInterfaces()[INTERFACE], undefined);
  equal(existsSync(`/sys/class/net/${INTERFACE}`), false);
  const rules = spawnSync('iptables-save', { encoding: 'utf8' });
  equal(rules.stdout?.includes(SUBNET.slice(0, -3)) ?? false, false);
  const names = join(directory, 'run/aardvark-dns', NAME);
  equal(existsSync(names), false);
}

const SCRIPT = 'cat /etc/hosts /etc/resolv.conf /proc/net/route';

testWithBridges('a run joins a network by name, and leaves nothing behind', async () => {
  const { output } = await run('oci', SCRIPT, { network: network(NAME) });
  match(output, new RegExp(`^10\\.199\\.${NUMBER}\\.2\tbox$`, 'm'));
  match(output, new RegExp(`^nameserver 10\\.199\\.${NUMBER}\\.1$`, 'm'));
  match(output, /^eth0\t00000000\t/m);
  await isCleanedUp();
});

testWithBridges('the default network is the one that is so called', async () => {
  const { output } = await run('oci', SCRIPT, { network: network() });
  match(output, /^eth0\t00000000\t/m);
  await isCleanedUp();
});

testWithBridges('two runs at once have an address each', async () => {
  const outputs = await Promise.all(
    [1, 2].map(() => run('oci', 'cat /etc/hosts; sleep 0.5', { network: network(NAME) })),
  );
  const found = outputs.map(({ output }) => output.match(INSIDE)?.[0]);
  ok(found[0] && found[1] && found[0] !== found[1], found.join());
  await isCleanedUp();
});

testWithBridges('a run that fails, and one that is called off, give their address back', async () => {
  equal((await run('oci', 'exit 3', { network: network(NAME) })).result.exitCode, 3);
  await isCleanedUp();
  const reason = new Error('enough');
  const aborter = new AbortController();
  const stdout = new Writable({
    write(_chunk, _encoding, done) {
      aborter.abort(reason);
      done();
    },
  });
  const options = { network: network(NAME), stdout, signal: aborter.signal };
  await rejects(run('oci', 'echo up; sleep 20', options), reason);
  await isCleanedUp();
  const early = { network: network(NAME), signal: AbortSignal.timeout(120) };
  await rejects(run('oci', 'sleep 20', early), { name: 'TimeoutError' });
  await isCleanedUp();
});

testWithBridges('what a killed process held is given back by the next run', async () => {
  const request: RunRequest = {
    ...{ rootfs, stateDirectory: join(directory, 'killed'), workingDirectory: '/', user: '', mounts: [] },
    ...{ args: ['/bin/sh', '-c', 'echo up; sleep 30'], environment: ['PATH=/bin'], hostname: 'killed' },
    ...{ isolation: 'oci', network: network(NAME), capabilities: { add: [], drop: [] } },
    ...{ stdin: 'ignore', stdout: 'inherit', stderr: 'inherit' },
  };
  const script = fileURLToPath(new URL('run-until-killed.ts', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(request)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const names = join(directory, 'run/aardvark-dns', NAME);
  equal(await owners(join(directory, 'run/ipam.db')), 1);
  match(readFileSync(names, 'utf8'), new RegExp(`slipway-\\d+-${child.pid}-`));
  const { output } = await run('oci', `${SCRIPT}; sleep 1`, { network: network(NAME) });
  match(output, /^eth0\t00000000\t/m);
  await isCleanedUp();
});

testWithBridges('sysctls of the network are set in it', async () => {
  const { output } = await run('oci', 'cat /proc/sys/net/ipv4/ip_default_ttl', {
    ...{ network: network(NAME), sysctls: ['net.ipv4.ip_default_ttl=77'] },
  });
  equal(output, '77\n');
  await isCleanedUp();
});

testWithBridges('a named network that is not there, or fails, is an error that names it', async () => {
  await rejects(run('oci', 'true', { network: network('nope') }), {
    code: 'bad-option',
    message: 'setup network: unable to find network with name or ID nope: network not found',
  });
  settings = { ...settings, firewall: 'bogus' };
  await rejects(run('oci', 'true', { network: network(NAME) }), (error: Error) => {
    match(error.message, new RegExp(`^setup network ${NAME}: netavark: .*bogus`));
    return true;
  });
  settings = { ...settings, firewall: '', backend: 'cni' };
  await rejects(run('oci', 'true', { network: network(NAME) }), /unsupported network backend "cni"/);
  settings = { ...settings, backend: '' };
  await isCleanedUp();
});

testWithBridges('a default network that fails is done without, and said once', async () => {
  const broken: BridgeSettings = { ...settings, firewall: 'bogus' };
  const warnings: string[] = [];
  const options = {
    network: { mode: 'private' as const, bridge: broken },
    onWarning: (text: string) => void warnings.push(text),
  };
  for (let count = 0; count < 2; count += 1) equal((await run('oci', 'true', options)).result.exitCode, 0);
  const own = warnings.filter((text) => text.startsWith(`the network ${NAME} cannot be set up: netavark: `));
  equal(own.length, 1, warnings.join('\n'));
  await isCleanedUp();
});

testWithBridges('networks by name are not for rootless isolation', async () => {
  await rejects(run('rootless', 'true', { network: network(NAME) }), {
    code: 'isolation-unavailable',
    message: 'setup network: cannot use networks as rootless',
  });
});

/** The same each time, since Podman 4 keeps the records of removed networks. */
const OF_PODMAN = 'slipway-test';
const WITH_PODMAN = 'Podman and a run never have the same address, and both find their records';
const withPodman = async () => {
  const config = join(directory, 'podman-networks');
  const storage = ['--root', join(directory, 'root'), '--runroot', join(directory, 'runroot')];
  const globals = [
    ...[...storage, '--storage-driver', 'vfs', '--runtime', 'runc', '--cgroup-manager', 'cgroupfs'],
    ...['--network-config-dir', config],
  ];
  const podman = (...words: string[]) => {
    const { status, stdout, stderr } = spawnSync('podman', [...globals, ...words], { encoding: 'utf8' });
    equal(status, 0, stderr);
    return stdout;
  };
  const container = (...words: string[]) => [
    ...['run', '--ulimit', 'nofile=512:512', '--ulimit', 'nproc=1000:1000', '--network', OF_PODMAN],
    ...words.slice(0, -1),
    ...['--rootfs', rootfs, '/bin/sh', '-c', words.at(-1) ?? ''],
  ];
  const subnet = `10.198.${NUMBER}.0/24`;
  const address = (text: string) => new RegExp(`10\\.198\\.${NUMBER}\\.\\d+`).exec(text)?.[0];
  podman('network', 'create', '--subnet', subnet, OF_PODMAN);
  const found: (string | undefined)[] = [];
  try {
    found.push(address(podman(...container('-d', '--name', `${NAME}a`, 'sleep 60')) && inspect(podman)));
    const { runDirectory, lockFile, ...rest } = settings;
    const chunks: string[] = [];
    const stdout = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(chunk.toString());
        found.push(address(podman(...container('--rm', 'cat /etc/hosts'))));
        done();
      },
    });
    const bridge = { ...rest, configDirectory: config };
    await run('oci', 'cat /etc/hosts; sleep 3', {
      ...{ network: { mode: 'private', bridge, names: [OF_PODMAN] }, stdout },
    });
    found.push(address(chunks.join('')));
  } finally {
    spawnSync('podman', [...globals, 'rm', '--force', '--time', '0', `${NAME}a`]);
    podman('network', 'rm', '--force', OF_PODMAN);
  }
  equal(found.length, 3);
  equal(new Set(found.filter((one) => one !== undefined)).size, 3, found.join());
  deepEqual(readFileSync('/proc/self/mountinfo', 'utf8').includes(join(directory, 'root')), false);
};
const inspect = (podman: (...words: string[]) => string) =>
  podman('inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', `${NAME}a`);
const hasPodman = spawnSync('podman', ['--version']).status === 0 && spawnSync('runc', ['-v']).status === 0;
if (missing === undefined && hasPodman) test(WITH_PODMAN, withPodman);
else {
  console.log(`SKIP ${WITH_PODMAN}: ${missing ?? 'podman or runc is not installed'}`);
  test.skip(WITH_PODMAN, withPodman);
}

test.run();
