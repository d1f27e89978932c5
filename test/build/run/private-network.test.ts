import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { RunRequest } from '../../../build/run/contract.ts';
import { detectIsolation } from '../../../build/run/detect.ts';
import { openPrivateNetwork } from '../../../build/run/private-network.ts';
import { processes, run } from './in-rootfs.ts';

const test = suite('private network');
const runtimeWorks = detectIsolation().preferred === 'oci';
const missing = runtimeWorks ? await whyNot() : 'no runtime works here';

async function whyNot(): Promise<string | undefined> {
  try {
    await using _network = await openPrivateNetwork({ network: { mode: 'private' } } as RunRequest);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const NAME = 'a container has an interface and a route of its own, and the stack is gone afterwards';
const body = async () => {
  const { output } = await run('oci', 'cat /proc/net/route; cat /etc/resolv.conf; cat /etc/hosts', {
    network: { mode: 'private', strict: true },
  });
  assert.match(output, /\t00000000\t/);
  assert.match(output, /nameserver \S+\n/);
  assert.match(output, /\tbox\n/);
  assert.deepEqual(processes('slirp4netns --configure'), []);
};
if (missing === undefined) test(NAME, body);
else {
  console.log(`SKIP ${NAME}: ${missing}`);
  test.skip(NAME, body);
}

test('where it cannot be had, strict fails', async () => {
  const options = { network: { mode: 'private', strict: true, options: ['--no-such-option'] } };
  if (missing === undefined) return;
  await assert.rejects(run('oci', 'true', options as Partial<RunRequest>), { code: 'isolation-unavailable' });
});

test.run();
