import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { detectIsolation } from '../../../build/run/detect.ts';
import { base, processes, run } from './in-rootfs.ts';
import { isolationCases } from './isolation-cases.ts';

const real = detectIsolation().reports.find(({ kind }) => kind === 'oci')?.runtime ?? '/usr/sbin/runc';
const operations = join(base, 'operations');

function runtimeNamed(name: string, script: string): string {
  const path = join(base, name);
  writeFileSync(path, `#!/bin/sh\n${script}`, { mode: 0o755 });
  return path;
}

/** A runtime that knows what the specification demands, and no more where there is no terminal. */
const specified = runtimeNamed(
  'specified',
  `for word; do case $word in
  create|start|delete) echo $word >>${operations}; exec ${real} "$@" ;;
  run) grep -q '"terminal":true' config.json && exec ${real} "$@"; echo "unknown operation" >&2; exit 1 ;;
esac; done`,
);

isolationCases('oci', specified);

const test = suite('runtimes without run');
const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.log('SKIP runtimes that fail: neither root nor inside a user namespace');
const onlyRoot = isRoot ? test : test.skip;

test('the operations are create, start and delete', async () => {
  if (!existsSync(operations)) return console.log('SKIP operations: no runtime works here');
  writeFileSync(operations, '');
  assert.equal((await run('oci', 'exit 7', { runtime: specified })).result.exitCode, 7);
  assert.equal(readFileSync(operations, 'utf8'), 'create\nstart\ndelete\n');
});

const BAD: readonly (readonly [string, string, RegExp])[] = [
  ['refuses', 'exit 3', /create: exit status 3/],
  ['crashes', 'kill -SEGV $$', /ended by SIGSEGV/],
  ['makes-nothing', 'exit 0', /noted no process/],
  ['notes-init', 'for w; do [ "$p" != --pid-file ] || echo 1 >"$w"; p=$w; done', /noted no process/],
];
for (const [name, script, message] of BAD) {
  onlyRoot(`a runtime that ${name} is an error that says so`, async () => {
    await assert.rejects(run('oci', 'true', { runtime: runtimeNamed(name, script) }), {
      code: 'runtime',
      message,
    });
  });
}

test('what a runtime leaves behind is reaped', async () => {
  const runtime = runtimeNamed('litters', '(sleep 0.05 &) ; (sleep 0 &) ; exit 1');
  const program = join(base, 'litter.ts');
  writeFileSync(
    program,
    `import { spawnSync } from 'node:child_process';
     import { run } from ${JSON.stringify(join(import.meta.dirname, 'in-rootfs.ts'))};
     await run('oci', 'true', { runtime: ${JSON.stringify(runtime)} }).catch(() => undefined);
     process.stdout.write(spawnSync('/bin/ps', ['-o', 'stat=', '--ppid', String(process.pid)]).stdout);`,
  );
  const { stdout, status } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
    encoding: 'utf8',
  });
  assert.equal(status, 0);
  assert.doesNotMatch(stdout, /Z/);
  assert.deepEqual(processes(runtime), []);
});

test.run();
