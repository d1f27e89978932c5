import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { prepareHost } from '../../../build/run/chroot.ts';
import { detectIsolation } from '../../../build/run/detect.ts';
import { processes, run } from './in-rootfs.ts';
import { isolationCases } from './isolation-cases.ts';

isolationCases('chroot');

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

test.run();
