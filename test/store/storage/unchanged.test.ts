import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { suite } from 'uvu';
import { listXattrs, setXattr } from '../../../store/kernel/index.ts';
import { openStore } from '../../../store/storage/open.ts';

const test = suite('directories that a container left as they were');
const directory = mkdtempSync(join(tmpdir(), 'slipway-unchanged-'));
test.after(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;

const inOrder = (...paths: string[]) => {
  for (const path of paths) utimesSync(path, 1000, 1000);
};

/** What becomes a layer of a change to two layers: the upper one hides `hidden/in` of the lower one. */
async function committed(change: (root: string) => void, move: boolean) {
  const name = `s${count++}`;
  const [graphRoot, runRoot] = [join(directory, name, 'root'), join(directory, name, 'run')];
  await using store = await openStore({ graphRoot, runRoot, driver: 'overlay' });
  const low = await store.layers.create({});
  const bottom = await store.layers.diffDirectory(low.id);
  for (const path of ['a/b/c', 'hidden/in']) mkdirSync(join(bottom, path), { recursive: true });
  inOrder(...['a/b/c', 'a/b', 'a', 'hidden/in', 'hidden'].map((path) => join(bottom, path)));
  const high = await store.layers.create({ parent: low.id });
  const hidden = join(await store.layers.diffDirectory(high.id), 'hidden');
  mkdirSync(hidden);
  setXattr(hidden, 'trusted.overlay.opaque', 'y');
  inOrder(hidden);
  const top = await store.layers.create({ parent: high.id });
  const root = await store.layers.mount(top.id);
  change(root);
  await store.layers.unmount(top.id);
  const before = statSync(await store.layers.diffDirectory(top.id)).mtimeMs;
  const layer = await store.layers.commitFrom(top.id, { move, parent: high.id });
  const tree = await store.layers.diffDirectory(layer.id);
  const input = await buffer((await store.layers.diff(layer.id)).stream);
  const names = execFileSync('tar', ['tf', '-'], { input, encoding: 'utf8' }).split('\n').filter(Boolean);
  assert.equal(statSync(tree).mtimeMs, before, 'the root of the layer has another time');
  const onDisk = readdirSync(tree, { recursive: true }).map(String).sort();
  assert.deepEqual(
    names.map((path) => path.replace(/\/$/, '')).filter((path) => !/\.wh\./.test(path)),
    onDisk,
  );
  return names;
}

/** What making and removing the place of a mount amounts to. */
function visit(root: string, path: string): void {
  const parent = join(root, path);
  const { atime, mtime } = statSync(parent);
  mkdirSync(join(parent, 'place'));
  rmdirSync(join(parent, 'place'));
  utimesSync(parent, atime, mtime);
}

const CASES: readonly (readonly [string, (root: string) => void, readonly string[]])[] = [
  ['what came and went leaves no trace', (root) => visit(root, 'a/b/c'), []],
  ['nor in an opaque directory', (root) => visit(root, 'hidden'), []],
  ['a new mode stays', (root) => chmodSync(join(root, 'a/b'), 0o700), ['a/', 'a/b/']],
  ['a new owner stays', (root) => chownSync(join(root, 'a'), 7, 7), ['a/']],
  ['a new time stays', (root) => utimesSync(join(root, 'a/b'), 1000, 1001), ['a/', 'a/b/']],
  ['an attribute stays', (root) => setXattr(join(root, 'a/b'), 'user.x', 'y'), ['a/', 'a/b/']],
  [
    'what is beside a change is no change',
    (root) => {
      visit(root, 'a/b/c');
      writeFileSync(join(root, 'a/new'), '');
    },
    ['a/', 'a/new'],
  ],
  [
    'a directory that takes the place of its like stays, and hides it',
    (root) => {
      rmSync(join(root, 'a'), { recursive: true });
      mkdirSync(join(root, 'a'));
      inOrder(join(root, 'a'));
    },
    ['a/', 'a/.wh..wh..opq'],
  ],
  [
    'one that is hidden in the layers below stays',
    (root) => {
      mkdirSync(join(root, 'hidden/in'));
      inOrder(join(root, 'hidden/in'), join(root, 'hidden'));
    },
    ['hidden/', 'hidden/in/'],
  ],
];
for (const [name, change, wanted] of CASES)
  for (const move of [true, false])
    test(`${name}, ${move ? 'moved' : 'copied'}`, async () => {
      assert.deepEqual(await committed(change, move), wanted);
    });

for (const move of [true, false])
  for (const driver of ['overlay', 'vfs'] as const)
    test(`access control lists stay out of a layer here as in its changeset (${driver}, ${move ? 'moved' : 'copied'})`, async () => {
      const name = `s${count++}`;
      const [graphRoot, runRoot] = [join(directory, name, 'root'), join(directory, name, 'run')];
      await using store = await openStore({ graphRoot, runRoot, driver });
      const { id } = await store.layers.create({});
      const place = join(await store.layers.diffDirectory(id), 'dé');
      mkdirSync(place);
      // setfacl -m u:1:rwx
      const list = '0200000001000700ffffffff020007000100000004000500ffffffff10000700ffffffff20000500ffffffff';
      setXattr(place, 'system.posix_acl_access', Buffer.from(list, 'hex'));
      setXattr(place, 'system.posix_acl_default', Buffer.from(list, 'hex'));
      const layer = await store.layers.commitFrom(id, { move });
      const kept = join(await store.layers.diffDirectory(layer.id), 'dé');
      assert.deepEqual(listXattrs(kept), []);
      assert.equal(statSync(kept).mode & 0o777, 0o775);
    });

if (process.geteuid?.() === 0) test.run();
else {
  console.log('SKIP unchanged directories: mounting needs root');
  const skipped = suite('unchanged directories');
  skipped.skip('needs root', () => {});
  skipped.run();
}
