import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { chooseCapabilities } from '../../../build/run/capabilities.ts';
import { isCdiName, resolveCdi } from '../../../build/run/cdi.ts';
import type { RunMount } from '../../../build/run/contract.ts';
import { readDevices } from '../../../build/run/devices.ts';
import { chooseHooks } from '../../../build/run/hooks.ts';
import { chooseResources, chooseRlimits } from '../../../build/run/limits.ts';
import { checkMount, orderMounts, systemMounts } from '../../../build/run/mounts.ts';
import { parseSecurityOptions, refuseLabels, withoutUnmasked } from '../../../build/run/security-options.ts';
import { subscriptionMounts } from '../../../build/run/subscriptions.ts';
import { resolveGroup, resolveUser } from '../../../build/run/user.ts';

const test = suite('parts of a run');
const base = mkdtempSync(join(tmpdir(), 'run-parts-'));
test.after(() => rmSync(base, { recursive: true, force: true }));

const ALL = (1n << 41n) - 1n;
const CAPABILITIES: readonly (readonly [string, string[], string[], string[], bigint])[] = [
  ['spellings', ['net_raw', 'CAP_SYS_ADMIN'], ['kill'], ['CAP_NET_RAW', 'CAP_SYS_ADMIN'], ALL],
  ['drop all wins', ['ALL'], ['all'], [], ALL],
  ['what this process lacks is left out', ['CAP_SYS_RESOURCE'], ['KILL'], [], ALL & ~(1n << 24n)],
];
for (const [name, add, drop, expected, available] of CAPABILITIES) {
  test(`capabilities: ${name}`, () => {
    assert.deepEqual(chooseCapabilities({ defaults: ['KILL'], add, drop, available }), expected);
  });
}

test('B02: propagation and flags that mount(8) knows are taken, everything else refused', () => {
  const bind = (option: string): RunMount => ({
    type: 'bind',
    source: '/s',
    destination: '/d',
    options: [option],
  });
  for (const option of ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave', 'ro', 'noexec'])
    assert.ok(checkMount(bind(option)).options.includes(option));
  for (const option of ['suid=yes', 'rbind,rw', 'Z', '', 'bind-propagation=rslave', 'size=1m', 'lowerdir=/'])
    assert.throws(() => checkMount(bind(option)), { code: 'bad-mount' });
});

test('of two mounts on one place the first counts; parents come before children', () => {
  const at = (destination: string, source: string) => ({ destination, source, type: 'bind', options: [] });
  const ordered = orderMounts([
    at('/a/b/c', '1'),
    at('/a', '2'),
    at('/a/', '3'),
    at('/a/b', '4'),
    at('/a//b', '5'),
  ]);
  assert.deepEqual(
    ordered.map(({ destination, source }) => `${destination}=${source}`),
    ['/a=2', '/a/b=4', '/a/b/c=1'],
  );
});

test("in a user namespace without its own network the host's /sys is bound read-only", () => {
  const kinds = new Set(['pid', 'ipc', 'mount'] as const);
  const find = (rootless: boolean) =>
    systemMounts({ namespaces: kinds, ownsNetwork: false, rootless, hasGroup5: !rootless });
  const sys = (rootless: boolean) => find(rootless).find((mount) => mount.destination === '/sys');
  assert.equal(sys(true)?.type, 'bind');
  assert.ok(sys(true)?.options.includes('ro'));
  assert.equal(sys(false)?.type, 'sysfs');
  const pts = find(true).find((mount) => mount.destination === '/dev/pts');
  assert.equal(pts?.options.includes('gid=5'), false);
});

const LIMITS_TEXT =
  'Limit  Soft Hard Units\nMax processes             100   200   processes\nMax open files            1024  20000 files\nMax core file size        0     unlimited bytes\n';
test('limits: defaults are lowered to what may be had, requests above it refused', () => {
  const situation = { limitsText: LIMITS_TEXT, mayRaise: false, rootless: false };
  const text = (list: ReturnType<typeof chooseRlimits>) =>
    list.map(({ type, soft, hard }) => `${type.slice(7)}=${soft}:${hard}`).join(' ');
  assert.equal(text(chooseRlimits(undefined, situation)), 'NOFILE=20000:20000 NPROC=200:200');
  assert.equal(
    text(chooseRlimits(undefined, { ...situation, mayRaise: true })),
    'NOFILE=1048576:1048576 NPROC=1048576:1048576',
  );
  const ulimits = [
    { name: 'nofile', soft: 5, hard: 20000 },
    { name: 'core', soft: -1, hard: -1 },
  ];
  assert.match(text(chooseRlimits({ ulimits }, situation)), /NOFILE=5:20000 .*CORE=18446744073709551615:/);
  const refused = [
    { name: 'nofile', soft: 9, hard: 1 },
    { name: 'nofile', soft: 5, hard: 20001 },
    { name: 'nofile', soft: 5, hard: -1 },
  ];
  for (const one of refused)
    assert.throws(() => chooseRlimits({ ulimits: [one] }, situation), { code: 'bad-option' });
  const more = [{ name: 'nofile', soft: 5, hard: 20001 }];
  assert.match(text(chooseRlimits({ ulimits: more }, { ...situation, mayRaise: true })), /NOFILE=5:20001/);
});

test('cgroup limits are written where asked for', () => {
  assert.equal(chooseResources({ shmSizeBytes: 1 }), undefined);
  const resources = chooseResources({ memoryBytes: 1024, cpuShares: 2, pidsLimit: 3 });
  assert.equal(resources?.memory?.limit, 1024);
  assert.equal(resources?.cpu?.shares, 2);
  assert.equal(resources?.pids?.limit, 3);
});

test('security options', () => {
  const options = parseSecurityOptions([
    'no-new-privileges',
    'mask=/a:/b',
    'unmask=/proc/*',
    'seccomp=/p',
    'label=disable',
  ]);
  assert.equal(options.noNewPrivileges, true);
  assert.deepEqual(withoutUnmasked(['/proc/acpi', '/sys/firmware', ...options.masked], options.unmasked), [
    '/sys/firmware',
    '/a',
    '/b',
  ]);
  assert.deepEqual(withoutUnmasked(['/proc/acpi'], ['ALL']), []);
  for (const bad of ['seccomp', 'yolo=1', ''])
    assert.throws(() => parseSecurityOptions([bad]), { code: 'bad-option' });
});

test('devices: options and errors', () => {
  const [device] = readDevices('/dev/null:/dev/nothing:rw');
  assert.deepEqual(
    [device?.path, device?.type, device?.major, device?.minor, device?.permissions],
    ['/dev/nothing', 'c', 1, 3, 'rw'],
  );
  assert.equal(readDevices('/dev/zero:r')[0]?.path, '/dev/zero');
  for (const bad of ['', '/dev/null:x:rr', '/dev/null:relative', '/dev/nowhere', '/etc/passwd', 'a:b:c:d'])
    assert.throws(() => readDevices(bad), { code: 'bad-option' });
});

test('CDI: names, edits of device and specification, unknown names', async () => {
  assert.equal(isCdiName('vendor.com/class=name'), true);
  assert.equal(isCdiName('/dev/null'), false);
  const directory = join(base, 'cdi');
  mkdirSync(directory);
  const spec = {
    cdiVersion: '0.6.0',
    kind: 'vendor.com/class',
    containerEdits: { env: ['ALL=1'] },
    devices: [
      {
        name: 'one',
        containerEdits: { env: ['ONE=1'], deviceNodes: [{ path: '/dev/cdi', hostPath: '/dev/null' }] },
      },
    ],
  };
  writeFileSync(join(directory, 'a.json'), JSON.stringify(spec));
  writeFileSync(join(directory, 'broken.txt'), 'no');
  const edits = await resolveCdi(['vendor.com/class=one'], ['/nowhere', directory]);
  assert.deepEqual(edits.environment, ['ALL=1', 'ONE=1']);
  assert.equal(edits.devices[0]?.path, '/dev/cdi');
  await assert.rejects(resolveCdi(['vendor.com/class=two'], [directory]), { code: 'bad-option' });
});

test('hooks: conditions, order, the later directory wins', () => {
  const [first, second] = [join(base, 'hooks1'), join(base, 'hooks2')];
  const hook = (directory: string, name: string, when: object, args: string[], version = '1.0.0') => {
    mkdirSync(directory, { recursive: true });
    const file = { version, hook: { path: '/bin/sh', args }, when, stages: ['prestart', 'poststop'] };
    writeFileSync(join(directory, name), JSON.stringify(file));
  };
  hook(first, '2.json', { always: true }, ['two']);
  hook(first, '1.json', { commands: ['sh$'] }, ['one']);
  hook(first, '3.json', { annotations: { '^a$': '^x' } }, ['three']);
  hook(first, '4.json', { hasBindMounts: true }, ['four']);
  hook(second, '2.json', { always: true }, ['replaced']);
  const situation = { command: '/bin/sh', annotations: { a: 'xyz' }, hasBindMounts: false };
  const chosen = chooseHooks([first, second, '/nowhere'], situation);
  const words = (list: typeof chosen.poststop) => list?.map((entry) => entry.args?.[0]);
  assert.deepEqual(words(chosen.prestart), ['one', 'replaced', 'three']);
  assert.deepEqual(words(chosen.poststop), ['one', 'replaced', 'three']);
  hook(second, '8.json', { commands: ['('] }, ['eight']);
  assert.throws(() => chooseHooks([second], situation), {
    code: 'bad-option',
    message: /"\(" is no regular/,
  });
  hook(first, '9.json', { always: true }, ['nine'], '0.9');
  assert.throws(() => chooseHooks([first], situation), { code: 'bad-option' });
});

test('B23: automatic mounts are copies with links followed; a missing source is left out', () => {
  const [source, state] = [join(base, 'secrets'), join(base, 'state')];
  mkdirSync(join(source, 'inner'), { recursive: true });
  chmodSync(join(source, 'inner'), 0o704);
  writeFileSync(join(source, 'key'), 'secret', { mode: 0o640 });
  symlinkSync(join(source, 'key'), join(source, 'link'));
  writeFileSync(
    join(base, 'mounts.conf'),
    `# comment\n${source}:/run/secrets\n${source}/key\n/nowhere/x:/y\n`,
  );
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const mounts = subscriptionMounts(['/nowhere.conf', join(base, 'mounts.conf')], state, owner);
  assert.deepEqual(
    mounts.map((mount) => mount.destination),
    ['/run/secrets', `${source}/key`],
  );
  const copy = mounts[0]?.source ?? '';
  assert.equal(readFileSync(join(copy, 'link'), 'utf8'), 'secret');
  assert.equal(statSync(join(copy, 'inner')).mode & 0o777, 0o704);
  assert.equal(statSync(join(copy, 'key')).mode & 0o777, 0o640);
});

test('users and groups of an image; comments, short lines and numbers that overflow are skipped', () => {
  const root = join(base, 'image');
  mkdirSync(join(root, 'etc'), { recursive: true });
  writeFileSync(
    join(root, 'etc/passwd'),
    '#c:x:0:0::/:/x\nshort:x:1\nbig:x:99999999999:0::/:/x\na:x:7:8::/home/a:/x\n',
  );
  writeFileSync(join(root, 'etc/group'), 'g:x:50:b,a\nh:x:51:ba\n\ni:x:52:a\n');
  assert.deepEqual(resolveUser(root, 'a'), {
    uid: 7,
    gid: 8,
    groups: [8, 50, 52],
    home: '/home/a',
    name: 'a',
  });
  assert.deepEqual(resolveUser(root, '7').groups, [8, 50, 52]);
  assert.deepEqual(resolveUser(root, 'a:h').groups, [51]);
  assert.deepEqual(resolveUser(root, '').uid, 0);
  assert.equal(resolveGroup(root, 'i'), 52);
  assert.throws(() => resolveUser(root, 'big'), { code: 'bad-user' });
  assert.throws(() => resolveGroup(root, '4294967295'), { code: 'bad-user' });
});

test('labels that a host with SELinux would not get are refused', () => {
  refuseLabels(['disable']);
  assert.throws(() => refuseLabels(['disable', 'type:x_t']), /label=type:x_t/);
});

test.run();
