import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import type { RunRequest } from '../../../build/run/contract.ts';
import { makeRootfs } from '../../support/rootfs.ts';
import { base, run, tree } from './in-rootfs.ts';

const test = suite('RUN refuses');

const BAD: readonly (readonly [string, string, Partial<RunRequest>, string])[] = [
  ['B19', 'id over 32 bits', { user: '4294967296' }, 'bad-user'],
  ['B19', 'the id that means none', { user: '4294967295' }, 'bad-user'],
  ['B19', 'negative id', { user: '-1' }, 'bad-user'],
  ['B19', 'hexadecimal id', { user: '0x10' }, 'bad-user'],
  ['B19', 'id with exponent', { user: '1e3' }, 'bad-user'],
  ['B19', 'group over 32 bits', { user: '0:4294967296' }, 'bad-user'],
  ['I8', 'unknown user', { user: 'nobody-here' }, 'bad-user'],
  ['I8', 'unknown group', { user: 'user:nogroup-here' }, 'bad-user'],
  ['I8', 'unknown capability', { capabilities: { add: ['CAP_EVERYTHING'], drop: [] } }, 'bad-option'],
  ['B06', 'unknown security option', { securityOptions: ['yolo=1'] }, 'bad-option'],
  ['B06', 'unknown namespace', { namespaces: { pid: 'sometimes' } }, 'bad-option'],
  ['I8', 'unknown ulimit', { limits: { ulimits: [{ name: 'files', soft: 1, hard: 1 }] } }, 'bad-option'],
  ['I8', 'relative destination', { mounts: [{ type: 'tmpfs', destination: 'x', options: [] }] }, 'bad-mount'],
  ...['suid=1', 'rbind,rw', 'Z', '', 'bind-propagation=rslave', 'size=1'].map(
    (option) =>
      [
        'B02',
        `bind mount option ${JSON.stringify(option)}`,
        { mounts: [{ type: 'bind', source: '/tmp', destination: '/m', options: [option] }] },
        'bad-mount',
      ] as const,
  ),
];
for (const [row, name, extra, code] of BAD) {
  test(`${row}: refused before anything runs: ${name}`, async () => {
    const before = tree();
    await assert.rejects(run('chroot', 'true', extra as Partial<RunRequest>), { code });
    assert.equal(tree(), before);
  });
}

const HOSTILE: readonly (readonly [string, (path: string) => void, RegExp])[] = [
  ['FIFO', (path) => spawnSync('mkfifo', [path]), /not a regular file/],
  ['link to a device', (path) => symlinkSync('/dev/zero', path), /./],
  ['gigabytes', (path) => spawnSync('truncate', ['-s', '1G', path]), /larger than/],
];
for (const [name, make, message] of HOSTILE) {
  test(`B20: /etc/passwd as ${name} is refused at once`, async () => {
    const other = makeRootfs(join(base, `hostile-${name.replaceAll(' ', '-')}`), { commands: [] });
    rmSync(join(other, 'etc/passwd'));
    make(join(other, 'etc/passwd'));
    const started = Date.now();
    await assert.rejects(run('chroot', 'true', { rootfs: other, user: 'user' }), { message });
    assert.ok(Date.now() - started < 30_000);
  });
}

test.run();
