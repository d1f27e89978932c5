import { deepEqual, equal, notDeepEqual } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';

const TOOL = 'dist/bin/skopeo.cjs';
if (!existsSync(TOOL)) console.log('SKIP the code cache: there is no bundle');

const test = suite<{ home: string }>('code cache of the tools');
test.before.each((state) => {
  state.home = mkdtempSync(join(tmpdir(), 'launcher-'));
});
test.after.each(({ home }) => rmSync(home, { recursive: true, force: true }));

function version(home: string): string {
  return execFileSync(process.execPath, [TOOL, '--version'], {
    encoding: 'utf8',
    env: { ...process.env, XDG_CACHE_HOME: home },
  });
}

function cacheOf(home: string): string {
  const [file, ...others] = globSync(join(home, 'slipway/code/skopeo-*/*'));
  deepEqual(others, []);
  return file as string;
}

if (existsSync(TOOL)) {
  test('is written by the first run, and kept by the next ones for an hour', ({ home }) => {
    const first = version(home);
    const file = cacheOf(home);
    equal(statSync(file).mode & 0o777, 0o600);
    const old = new Date(Date.now() - 1_000_000);
    utimesSync(file, old, old);
    equal(version(home), first);
    equal(statSync(cacheOf(home)).mtimeMs, old.getTime());
    const older = new Date(Date.now() - 4_000_000);
    utimesSync(file, older, older);
    equal(version(home), first);
    notDeepEqual(statSync(cacheOf(home)).mtimeMs, older.getTime());
  });

  test('is made again where it is damaged', ({ home }) => {
    const first = version(home);
    const file = cacheOf(home);
    const whole = readFileSync(file);
    for (const damaged of [
      Buffer.alloc(0),
      whole.subarray(0, 1000),
      Buffer.from(whole).fill(0x41, 64, 4096),
    ]) {
      writeFileSync(file, damaged);
      equal(version(home), first);
      notDeepEqual(readFileSync(cacheOf(home)), damaged);
    }
  });

  test('does without, where it cannot be written', ({ home }) => {
    writeFileSync(join(home, 'slipway'), '');
    equal(version(home), version(join(home, 'other')));
  });
}

test.run();
