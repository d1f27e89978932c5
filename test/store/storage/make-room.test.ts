import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { removeInPlace } from '../../../store/storage/make-room.ts';

const test = suite('making room');
const base = mkdtempSync(join(tmpdir(), 'make-room-'));
test.after(() => rmSync(base, { recursive: true, force: true }));

test('files that somebody still holds give their space back; links and shared files stay what they are', async () => {
  const tree = join(base, 'tree');
  const outside = join(base, 'outside');
  mkdirSync(join(tree, 'sub'), { recursive: true });
  mkdirSync(outside);
  for (const name of ['linked', 'shared']) writeFileSync(join(outside, name), 'kept');
  writeFileSync(join(tree, 'sub/held'), 'x'.repeat(10_000));
  symlinkSync(join(outside, 'linked'), join(tree, 'sub/link'));
  symlinkSync(outside, join(tree, 'directory'));
  linkSync(join(outside, 'shared'), join(tree, 'shared'));
  const held = openSync(join(tree, 'sub/held'), 'r');
  await removeInPlace(tree);
  assert.equal(fstatSync(held).size, 0);
  closeSync(held);
  assert.equal(existsSync(tree), false);
  for (const name of ['linked', 'shared']) assert.equal(readFileSync(join(outside, name), 'utf8'), 'kept');
});

test.run();
