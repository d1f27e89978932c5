import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { prepareHost } from '../../../build/run/chroot.ts';
import { detectIsolation } from '../../../build/run/detect.ts';
import { readHostFacts } from '../../../build/run/host.ts';
import { base, processes, rootfs, run } from './in-rootfs.ts';
import { isolationCases } from './isolation-cases.ts';

isolationCases('chroot');

/** The well-known way out of a changed root. */
const LEAVE = `
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void) {
  mkdir("/deeper", 0755);
  int top = open("/", O_RDONLY);
  if (chroot("/deeper") != 0 || fchdir(top) != 0) return 1;
  for (int i = 0; i < 64; i++) chdir("..");
  chroot(".");
  puts(access("/leave", F_OK) == 0 ? "inside" : "outside");
  rmdir("/deeper");
  return 0;
}
`;

const test = suite('the process that hosts a chroot RUN');
const { works, reason } = detectIsolation().reports.find(({ kind }) => kind === 'chroot') ?? { works: false };
if (!works) console.log(`SKIP the process that hosts a chroot RUN: ${reason}`);

(works ? test : test.skip)('one that was killed before its run is replaced', async () => {
  prepareHost();
  const mine = `chroot.worker.ts ${process.pid}`;
  const [host] = processes(mine);
  process.kill(Number(host), 'SIGKILL');
  while (processes(mine).length > 0) await sleep(5);
  // Until this process has heard of it.
  await sleep(200);
  assert.equal((await run('chroot', 'exit 4')).result.exitCode, 4);
});

const isRoot = process.getuid?.() === 0 && !readHostFacts().rootless;
const asRoot = works && isRoot ? test : test.skip;
if (!isRoot) console.log('SKIP nodes of devices under chroot isolation: needs root');

(works ? test : test.skip)(
  'what the kernel does not execute is an error line, with limits of its own too',
  async () => {
    const programs: readonly (readonly [string, number, number, RegExp])[] = [
      ['\x01\x02', 0o755, 126, /exec format error/],
      ['#!/no/interpreter\n', 0o755, 127, /no such file or directory/],
      ['#!/bin/sh\n', 0o644, 126, /permission denied/],
    ];
    const limits = { ulimits: [{ name: 'core', soft: 0, hard: 0 }] };
    for (const [text, mode, exitCode, message] of programs) {
      writeFileSync(join(rootfs, 'program'), text, { mode });
      await assert.rejects(run('chroot', '', { args: ['/program'], limits }), { exitCode, message });
      rmSync(join(rootfs, 'program'));
    }
  },
);

asRoot("the host's device nodes keep their owner and permissions, those that hide paths too", async () => {
  const before = ['/dev/null', '/dev/zero'].map((path) => statSync(path));
  const script =
    'chmod 600 /dev/zero /dev/null /proc/keys; touch /dev/zero; echo x >/dev/null && head -c 1 /dev/zero | grep -c ""';
  const { output, errors } = await run('chroot', script);
  assert.equal(output, '1\n');
  assert.equal(errors.match(/Read-only file system/g)?.length, existsSync('/proc/keys') ? 4 : 3, errors);
  const after = ['/dev/null', '/dev/zero'].map((path) => statSync(path));
  assert.deepEqual(
    after.map(({ mode, uid, mtimeMs }) => [mode, uid, mtimeMs]),
    before.map(({ mode, uid, mtimeMs }) => [mode, uid, mtimeMs]),
  );
});

asRoot(
  'nodes that an image or a context brings cannot be opened; those of a command that may make some can',
  async () => {
    const elsewhere = join(base, 'elsewhere');
    mkdirSync(elsewhere);
    const nodes = [join(rootfs, 'node'), join(elsewhere, 'node')];
    for (const path of nodes) execFileSync('mknod', ['-m', '666', path, 'c', '1', '3']);
    const mounts = [
      { type: 'bind' as const, source: elsewhere, destination: '/foreign', options: ['ro'], foreign: true },
      { type: 'bind' as const, source: elsewhere, destination: '/own', options: ['ro'] },
    ];
    const script =
      'for path in /node /foreign/node /own/node; do (echo x >$path) 2>/dev/null && echo $path; done; true';
    const opened = async (add: string[]) =>
      (await run('chroot', script, { mounts, capabilities: { add, drop: [] } })).output;
    assert.equal(await opened([]), '/own/node\n');
    assert.equal(await opened(['MKNOD']), '/node\n/foreign/node\n/own/node\n');
    rmSync(nodes[0] as string);
  },
);

asRoot('a command that may chroot does not get out, without pivot_root either', async () => {
  const program = join(base, 'leave.c');
  const leave = join(rootfs, 'leave');
  writeFileSync(program, LEAVE);
  try {
    execFileSync('cc', ['-static', '-w', '-o', leave, program]);
  } catch {
    console.log('SKIP leaving by chroot: no C compiler with a static library');
    return;
  }
  for (const noPivot of [false, true]) {
    const { output } = await run('chroot', '/leave', { noPivot });
    assert.equal(output, 'inside\n');
  }
  rmSync(leave);
});

asRoot('the limits of our own cgroup can be read, and nothing is changed there', async () => {
  const script =
    'ls /sys/fs/cgroup; echo $$ >/sys/fs/cgroup/cgroup.procs || mkdir /sys/fs/cgroup/x || echo refused';
  const { output } = await run('chroot', script);
  const seen = output.trim().split('\n');
  assert.equal(seen.pop(), 'refused');
  assert.deepEqual(seen, readdirSync('/sys/fs/cgroup').sort());
});

test.run();
