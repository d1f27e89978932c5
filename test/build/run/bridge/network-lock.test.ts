import { equal, ok, rejects } from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { lockNetworks } from '../../../../build/run/bridge/network-lock.ts';

const test = suite('build/run/bridge/network-lock');
let directory: string;
test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'slipway-network-lock-'));
});
test.after.each(() => rmSync(directory, { recursive: true, force: true }));

const places = () => ({
  current: join(directory, 'run/lock/netavark.lock'),
  former: join(directory, 'netavark.lock'),
});

test('one holder at a time, and no file of a Podman that is not there', async () => {
  let isHeld = false;
  const take = async () => {
    using _lock = await lockNetworks(places(), undefined);
    equal(isHeld, false);
    isHeld = true;
    await new Promise((resolve) => setTimeout(resolve, 5));
    isHeld = false;
  };
  await Promise.all([take(), take(), take()]);
  ok(existsSync(places().current));
  equal(existsSync(places().former), false);
});

test('whoever holds the lock of an older Podman is waited for, until the signal', async () => {
  writeFileSync(places().former, '');
  const podman = await lockNetworks({ current: places().former, former: join(directory, 'none') }, undefined);
  await rejects(lockNetworks(places(), AbortSignal.timeout(30)), { name: 'TimeoutError' });
  let isTaken = false;
  const waiting = lockNetworks(places(), undefined).then((lock) => {
    isTaken = true;
    return lock;
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  equal(isTaken, false);
  podman[Symbol.dispose]();
  (await waiting)[Symbol.dispose]();
});

test.run();
