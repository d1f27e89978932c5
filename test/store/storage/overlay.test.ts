import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openStore } from '../../../store/storage/open.ts';

const test = suite('overlay mounts');
const directory = mkdtempSync(join(tmpdir(), 'slipway-overlay-'));
test.after(() => {
  for (const point of mountsBelow(directory).reverse()) spawnSync('umount', ['-l', point]);
  rmSync(directory, { recursive: true, force: true });
});
let count = 0;
const open = (
  driverOptions: readonly string[] = [],
  name = `s${count++}`,
  more: { readonly disableVolatile?: boolean } = {},
) =>
  openStore({
    ...more,
    graphRoot: join(directory, name, 'root'),
    runRoot: join(directory, name, 'run'),
    driver: 'overlay',
    driverOptions,
  });

test('the directory of a layer is that of the original', async () => {
  await using store = await open();
  const base = await store.layers.create({});
  const child = await store.layers.create({ parent: base.id });
  const top = await store.layers.create({ parent: child.id });
  const home = join(store.graphRoot, 'overlay');
  const link = (id: string) => readFileSync(join(home, id, 'link'), 'utf8');
  assert.deepEqual(readdirSync(join(home, base.id)).sort(), ['diff', 'empty', 'link', 'merged', 'work']);
  assert.deepEqual(readdirSync(join(home, child.id)).sort(), ['diff', 'link', 'lower', 'merged', 'work']);
  assert.match(link(base.id), /^[A-Z2-7]{26}$/);
  assert.equal(readlinkSync(join(home, 'l', link(base.id))), `../${base.id}/diff`);
  assert.equal(readFileSync(join(home, top.id, 'lower'), 'utf8'), `l/${link(child.id)}:l/${link(base.id)}`);
});

test('mounts are counted, survive a second store, and unmounting is idempotent', async () => {
  const name = `s${count++}`;
  const store = await open(['overlay.mountopt=nodev'], name);
  const { id } = await store.layers.create({});
  const path = await store.layers.mount(id);
  writeFileSync(join(path, 'f'), 'x');
  assert.match(optionsOf(path), /nodev/);
  await using other = await open([], name);
  assert.equal(await other.layers.mount(id), path);
  assert.equal(await store.layers.mounted(id), 2);
  assert.equal(await store.layers.unmount(id), false);
  assert.equal(await other.layers.mountPoint(id), path);
  assert.equal(await other.layers.unmount(id), true);
  assert.equal(await other.layers.unmount(id), true);
  assert.equal(await store.layers.mounted(id), 0);
  await store[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  assert.deepEqual(mountsBelow(join(directory, name)), []);
});

test('who keeps a journal of mounts is told before the first and after the last, under the locks', async () => {
  await using store = await open();
  const { id } = await store.layers.create({});
  const seen: string[] = [];
  const note = (what: string) => () =>
    void seen.push(
      `${what}: ${mountsBelow(directory).some((point) => point.includes(id)) ? 'mounted' : 'not'}`,
    );
  const [onMounted, onUnmounted] = [note('mount'), note('unmount')];
  for (let round = 0; round < 2; round += 1) await store.layers.mount(id, { onMounted });
  for (let round = 0; round < 2; round += 1) await store.layers.unmount(id, { onUnmounted });
  assert.deepEqual(seen, ['mount: not', 'mount: mounted', 'unmount: mounted', 'unmount: not']);
  const failed = new Error('the journal is full');
  const failing = store.layers.mount(id, {
    onMounted: () => {
      throw failed;
    },
  });
  await assert.rejects(failing, failed);
  assert.equal(await store.layers.mounted(id), 0);
});

test('a mount that the kernel lost is made again', async () => {
  await using store = await open();
  const { id } = await store.layers.create({});
  const path = await store.layers.mount(id);
  execFileSync('umount', [path]);
  await store.layers.mount(id);
  assert.ok(mountsBelow(directory).includes(path));
  await store.layers.unmount(id, { force: true });
  assert.equal(await store.layers.mounted(id), 0);
});

for (const [flags, driverOptions, more, expected] of [
  [{ Volatile: true }, [], {}, true],
  [{ Volatile: true }, ['overlay.mountopt=volatile'], {}, true],
  [{ Volatile: true }, ['overlay.sync=filesystem'], {}, false],
  [{ Volatile: true }, [], { disableVolatile: true }, false],
  [{}, [], {}, false],
] as const) {
  const what = JSON.stringify([flags, driverOptions, more]);
  test(`unmounting the layer of a container ${expected ? 'leaves' : 'does'} its sync: ${what}`, async () => {
    await using store = await open(driverOptions, undefined, more);
    const { id, layerId } = await store.containers.create({ flags });
    for (let times = 0; times < 2; times += 1) {
      const path = await store.layers.mount(layerId);
      assert.equal(/\bvolatile\b/.test(fileSystemOptionsOf(path)), expected);
      writeFileSync(join(path, 'f'), 'x');
      await store.layers.unmount(layerId);
    }
    await store.deleteContainer(id);
  });
}

test('a read-only mount cannot be written', async () => {
  await using store = await open();
  const base = await store.layers.create({});
  writeFileSync(join(await store.layers.diffDirectory(base.id), 'f'), 'x');
  const path = await store.layers.mount(base.id, { readOnly: true });
  assert.equal(readFileSync(join(path, 'f'), 'utf8'), 'x');
  assert.throws(() => writeFileSync(join(path, 'g'), ''), /EROFS/);
  await store.layers.unmount(base.id);
});

test('lost links and link files are made again', async () => {
  await using store = await open();
  const base = await store.layers.create({});
  const top = await store.layers.create({ parent: base.id });
  const home = join(store.graphRoot, 'overlay');
  for (const name of readdirSync(join(home, 'l'))) rmSync(join(home, 'l', name));
  await store.layers.mount(top.id);
  await store.layers.unmount(top.id);
  assert.equal(readdirSync(join(home, 'l')).length, 2);
  rmSync(join(home, base.id, 'link'));
  const other = await store.layers.create({ parent: base.id });
  await store.layers.mount(other.id);
  await store.layers.unmount(other.id);
});

for (const [depth, why] of [
  [70, 'by relative paths'],
  [150, "by the kernel's newer mount calls"],
] as const)
  test(`a chain of ${depth} layers is mounted ${why}`, async () => {
    const name = `a-name-that-makes-every-path-of-a-layer-long-enough-to-fill-the-page-${count++}`;
    await using store = await open([], name);
    let parent: string | undefined;
    for (let index = 0; index < depth; index += 1) {
      parent = (await store.layers.create({ parent })).id;
      writeFileSync(join(await store.layers.diffDirectory(parent), `f${index}`), '');
    }
    const top = await store.layers.create({ parent });
    const path = await store.layers.mount(top.id).catch((error: Error & { code?: string }) => {
      if (depth > 100 && error.code === 'unsupported') return undefined;
      throw error;
    });
    if (path === undefined) return console.log('SKIP deep chain: this kernel has no lowerdir+');
    assert.equal(readdirSync(path).length, depth);
    writeFileSync(join(path, 'new'), '');
    await store.layers.unmount(top.id);
  });

function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${path}/`));
}

function optionsOf(path: string): string {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((candidate) => candidate.split(' ')[4] === path);
  return line?.split(' ')[5] ?? '';
}

function fileSystemOptionsOf(path: string): string {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((candidate) => candidate.split(' ')[4] === path);
  return line?.split(' - ')[1]?.split(' ')[2] ?? '';
}

if (process.geteuid?.() === 0) test.run();
else {
  console.log('SKIP overlay mounts: mounting needs root');
  const skipped = suite('overlay mounts');
  skipped.skip('needs root', () => {});
  skipped.run();
}
