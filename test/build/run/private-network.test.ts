import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { RunRequest } from '../../../build/run/contract.ts';
import { detectIsolation } from '../../../build/run/detect.ts';
import { PROGRAM_PATH } from '../../../build/run/network-namespace.ts';
import { openPrivateNetwork } from '../../../build/run/private-network.ts';
import { findProgram } from '../../../build/run/programs.ts';
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
  const network = await openPrivateNetwork({ network: { mode: 'private' } } as RunRequest);
  const [, pid] = network.path.split('/').slice(1);
  const stacks = () => [...processes(`--netns ${network.path}`), ...processes(` ${pid} tap0`)];
  assert.notEqual(stacks().length, 0);
  await network[Symbol.asyncDispose]();
  assert.deepEqual(stacks(), []);
};
if (missing === undefined) test(NAME, body);
else {
  console.log(`SKIP ${NAME}: ${missing}`);
  test.skip(NAME, body);
}

const PASTA = 'pasta takes options, and names its resolver and its address';
const withPasta = async () => {
  const options = ['--ipv4-only', '-a', '10.7.7.7', '-n', '24', '-g', '10.7.7.1'];
  const network = { mode: 'private', strict: true, options } as const;
  const command = 'cat /proc/net/fib_trie; cat /etc/resolv.conf; cat /etc/hosts';
  const { output } = await run('oci', command, { network });
  assert.match(output, /\|-- 10\.7\.7\.7\n/);
  assert.match(output, /^nameserver 169\.254\.1\.1$/m);
  assert.match(output, /^10\.7\.7\.7\tbox$/m);
  assert.deepEqual(processes('-a 10.7.7.7'), []);
  const wrong = { network: { mode: 'private', strict: true, options: ['--no-such-option'] } } as const;
  await assert.rejects(run('oci', 'true', wrong), { code: 'isolation-unavailable' });
};
const pasta = findProgram('pasta', PROGRAM_PATH.split(':')) !== undefined;
if (pasta && missing === undefined) test(PASTA, withPasta);
else {
  console.log(`SKIP ${PASTA}: ${missing ?? 'pasta is not installed'}`);
  test.skip(PASTA, withPasta);
}

const WITHOUT = 'pasta that is asked for and missing is an error, not another stack';
const withoutPasta = () =>
  assert.rejects(openPrivateNetwork({ network: { mode: 'private', options: [] } } as unknown as RunRequest), {
    code: 'isolation-unavailable',
    message: 'no private network: could not find pasta',
  });
if (!pasta && missing === undefined) test(WITHOUT, withoutPasta);
else {
  console.log(`SKIP ${WITHOUT}: ${missing ?? 'pasta is installed'}`);
  test.skip(WITHOUT, withoutPasta);
}

test.run();
