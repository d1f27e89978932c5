import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { detectIsolation } from '../../../build/run/detect.ts';
import { base, run } from './in-rootfs.ts';

const test = suite('hooks and flags of an OCI runtime');
const { works, reason, runtime } = detectIsolation().reports.find(({ kind }) => kind === 'oci') ?? {
  works: false,
};
const it = works ? test : test.skip;
if (!works) console.log(`SKIP hooks and flags of an OCI runtime: ${reason}`);

const directory = join(base, 'hooks');
const log = join(base, 'hooks.log');
mkdirSync(directory);

/** A hook that notes its stage, a variable of its own, and what it is told of the container. */
function writeHook(
  stage: string,
  script = `echo "$0 $NOTE $(grep -o '"status": *"[a-z]*"')" >>${log}`,
): void {
  const hook = {
    path: '/bin/sh',
    args: ['sh', '-c', script, stage],
    env: [`PATH=${process.env.PATH}`, 'NOTE=x'],
  };
  const file = { version: '1.0.0', hook, when: { always: true }, stages: [stage] };
  writeFileSync(join(directory, `${stage}.json`), JSON.stringify(file));
}

it('hooks run before and behind the command, in the order of their stages, with the state of the container', async () => {
  for (const stage of ['createRuntime', 'poststart', 'poststop', 'prestart']) writeHook(stage);
  writeFileSync(log, '');
  const { result } = await run('oci', `exit 3`, { hooksDirectories: [directory] });
  assert.equal(result.exitCode, 3);
  const noted = readFileSync(log, 'utf8').trim().split('\n');
  assert.deepEqual(
    noted.map((line) => line.split(' ')[0]),
    ['prestart', 'createRuntime', 'poststart', 'poststop'],
  );
  for (const line of noted) assert.match(line, /^\w+ x "status": *"[a-z]+"$/);
});

it('a hook that fails before the command stops it, and is named', async () => {
  writeHook('prestart', 'echo no entry >&2; exit 9');
  await assert.rejects(run('oci', 'true', { hooksDirectories: [directory] }), {
    code: 'runtime',
    message: /hook/,
  });
});

it('flags reach the runtime; one that it does not know is an error that says so', async () => {
  const { errors, output } = await run('oci', 'echo ran', { runtimeFlags: ['debug'] });
  assert.equal(output, 'ran\n');
  if (runtime?.endsWith('/runc')) assert.match(errors, /level=debug/);
  await assert.rejects(run('oci', 'true', { runtimeFlags: ['--no-such-flag'] }), {
    code: 'runtime',
    message: /no container was made: are all --runtime-flag known/,
  });
});

test.run();
