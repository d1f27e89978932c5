import { equal, throws } from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { makeDirectories } from '../../config/make-directories.ts';

const test = suite('directories that users name');
const base = mkdtempSync(join(tmpdir(), 'slipway-directories-'));
test.after(() => rmSync(base, { recursive: true }));

test('what is missing is made, with its mode, and said', () => {
  equal(makeDirectories(join(base, 'a/b/c'), 0o700), true);
  equal(statSync(join(base, 'a/b')).mode & 0o777, 0o700);
  equal(makeDirectories(join(base, 'a/b/c')), false);
});

test('a file in the way is an error', () => {
  writeFileSync(join(base, 'file'), '');
  throws(() => makeDirectories(join(base, 'file')), { code: 'EEXIST' });
  throws(() => makeDirectories(join(base, 'file/x/y')), { code: 'ENOTDIR' });
});

test('places where nothing can be made end with an error', () => {
  if (!existsSync('/proc/self')) return console.log('SKIP directories below /proc: there is none');
  for (const path of ['/proc/slipway', '/proc/slipway/a/b', '/proc/self/slipway'])
    throws(() => makeDirectories(path), { code: 'ENOENT' }, path);
});

test.run();
