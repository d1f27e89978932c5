import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { suite, type Test } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { StoreError } from '../../../store/error.ts';
import { layerIdOf } from '../../../store/storage/layer-id.ts';
import { openStore } from '../../../store/storage/open.ts';
import { tarOf } from '../../support/tar.ts';

const isRoot = process.geteuid?.() === 0;
const directory = mkdtempSync(join(tmpdir(), 'slipway-layers-'));
let count = 0;

const code = (wanted: string) => (error: unknown) => error instanceof StoreError && error.code === wanted;
const list = async (changes: Promise<readonly { kind: string; path: string }[]>) =>
  (await changes).map(({ kind, path }) => `${kind} ${path}`);

function contract(test: Test, driver: 'overlay' | 'vfs') {
  const open = async (name = `store${count++}`, now?: () => Date, driverOptions: readonly string[] = []) => {
    const root = join(directory, name);
    const places = { graphRoot: join(root, 'root'), runRoot: join(root, 'run') };
    return await openStore({ ...places, driver, driverOptions, now });
  };

  test('SECURITY B30: the directories of a store are closed to others', async () => {
    await using store = await open();
    for (const path of [store.graphRoot, store.runRoot, join(store.graphRoot, driver)])
      assert.equal(statSync(path).mode & 0o777, 0o700, path);
  });

  test('a layer from a tar has its digests, the derived id, and gives the same bytes again', async () => {
    await using store = await open();
    const base = tarOf([
      { name: 'etc/', mode: 0o755 },
      { name: 'etc/conf', body: 'one\n', mode: 0o644, mtime: 1_700_000_000 },
      { name: 'link', linkname: 'etc/conf' },
    ]);
    const child = tarOf([
      { name: 'etc/.wh.conf', body: '' },
      { name: 'etc/new', body: 'two' },
    ]);
    const zipped = gzipSync(base);
    const first = await store.layers.createFromTar({}, Readable.from([zipped]));
    assert.equal(first.diffId, digestOf(base));
    assert.equal(first.diffSize, base.length);
    assert.equal(first.compressedDigest, digestOf(zipped));
    assert.equal(first.compressedSize, zipped.length);
    assert.equal(first.compression, 'gzip');
    assert.equal(first.id, digestOf(base).slice(7));
    const second = await store.layers.createFromTar(
      { parent: first.id },
      Readable.from([zstdCompressSync(child)]),
    );
    assert.equal(second.id, digestOf(`${first.id}+${digestOf(child).slice(7)}`).slice(7));
    assert.equal(second.id, layerIdOf(first.id, { diffId: digestOf(child) }));
    for (const [layer, bytes] of [
      [first, base],
      [second, child],
    ] as const) {
      const { stream, sizeBytes } = await store.layers.diff(layer.id);
      assert.deepEqual(await buffer(stream), bytes);
      assert.equal(sizeBytes, bytes.length);
    }
    assert.deepEqual(await list(store.layers.changes(second.id)), ['C /etc', 'D /etc/conf', 'A /etc/new']);
  });

  test('the same layer twice is one layer', async () => {
    await using store = await open();
    const tar = tarOf([{ name: 'a', body: 'x' }]);
    const made = await Promise.all([1, 2, 3].map(() => store.layers.createFromTar({}, Readable.from([tar]))));
    assert.equal(new Set(made.map(({ id }) => id)).size, 1);
    assert.equal((await store.layers.list()).length, 1);
    assert.deepEqual(temporaryFiles(store.graphRoot, driver), []);
  });

  for (const [why, tar, expected, wanted] of [
    [
      'another digest',
      () => tarOf([{ name: 'a', body: 'x' }]),
      { diffId: digestOf('other') },
      'digest-mismatch',
    ],
    ['a cut tar', () => tarOf([{ name: 'a', body: 'x'.repeat(2000) }]).subarray(0, 1000), {}, undefined],
    ['a cut gzip', () => gzipSync(tarOf([{ name: 'a', body: 'x' }])).subarray(0, 60), {}, 'truncated'],
    ['xz', () => Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0]), {}, undefined],
  ] as const)
    test(`${why} leaves nothing behind`, async () => {
      await using store = await open();
      const failing = store.layers.createFromTar({}, Readable.from([tar()]), expected);
      await assert.rejects(failing, wanted === undefined ? StoreError : code(wanted));
      assert.deepEqual(await store.layers.list(), []);
      assert.deepEqual(temporaryFiles(store.graphRoot, driver), []);
    });

  test('a missing parent is an error before anything is read', async () => {
    await using store = await open();
    const tar = Readable.from([tarOf([{ name: 'a', body: 'x' }])]);
    await assert.rejects(store.layers.createFromTar({ parent: 'f'.repeat(64) }, tar), code('no-such-layer'));
  });

  for (const move of [true, false])
    test(`a container's changes are committed, ${move ? 'moved' : 'copied'}, and made once`, async () => {
      await using store = await open();
      const base = await store.layers.createFromTar({}, Readable.from([baseTar()]));
      const image = await store.images.create({ topLayer: base.id, names: ['localhost/base:1'] });
      const container = await store.containers.create({ imageId: image.id, names: ['c'] });
      change(await inside(store, container.layerId));
      const changes = await list(store.layers.changes(container.layerId));
      for (const wanted of ['A /new', 'A /dir/deep', 'C /dir/file', 'D /gone', 'A /hard'])
        assert.ok(changes.includes(wanted), `${wanted} in ${changes}`);
      await leave(store, container.layerId);
      const layer = await store.layers.commitFrom(container.layerId, { move });
      assert.equal(layer.parent, base.id);
      const { stream } = await store.layers.diff(layer.id);
      const bytes = await buffer(stream);
      assert.equal(layer.diffId, digestOf(bytes));
      assert.equal(layer.diffSize, bytes.length);
      // The tar says the same as the directory: unpacked in another store it gives the same layer.
      await using other = await open();
      const again = await other.layers.createFromTar({}, Readable.from([baseTar()]));
      const copy = await other.layers.createFromTar({ parent: again.id }, Readable.from([bytes]));
      assert.equal(copy.id, layer.id);
      const left = await list(store.layers.changes(container.layerId));
      if (driver === 'overlay') assert.equal(left.length > 0, !move);
      const tree = await inside(
        store,
        (await store.containers.create({ imageId: (await store.images.create({ topLayer: layer.id })).id }))
          .layerId,
      );
      assert.equal(readFileSync(join(tree, 'dir/file'), 'utf8'), 'changed');
      assert.equal(existsSync(join(tree, 'gone')), false);
      assert.equal(statSync(join(tree, 'new')).ino, statSync(join(tree, 'hard')).ino);
      assert.equal(statSync(join(tree, 'dir')).mode & 0o7777, 0o2750);
      await leaveAll(store);
    });

  test('what a commit leaves out or sets in time is so in the directory too', async () => {
    await using store = await open();
    const container = await store.containers.create({});
    const root = await inside(store, container.layerId);
    mkdirSync(join(root, 'run/stub'), { recursive: true });
    writeFileSync(join(root, 'run/stub/x'), 'x');
    writeFileSync(join(root, 'file'), 'y');
    await leave(store, container.layerId);
    const layer = await store.layers.commitFrom(container.layerId, {
      move: true,
      exclude: ['run/stub', '../etc', 'none'],
      timestamp: { seconds: 1_000_000, mode: 'set' },
    });
    const tree = await store.layers.diffDirectory(layer.id);
    assert.deepEqual(readdirSync(tree, { recursive: true }).sort(), ['file', 'run']);
    assert.equal(statSync(join(tree, 'file')).mtimeMs, 1e9);
    const bytes = await buffer((await store.layers.diff(layer.id)).stream);
    assert.equal(digestOf(bytes), layer.diffId);
    assert.ok(!bytes.includes('stub'));
  });

  test('a commit for Windows has its layout, and the container keeps its own', async () => {
    await using store = await open();
    const container = await store.containers.create({});
    const root = await inside(store, container.layerId);
    mkdirSync(join(root, 'run/stub'), { recursive: true });
    writeFileSync(join(root, 'file'), 'y');
    await leave(store, container.layerId);
    const layer = await store.layers.commitFrom(container.layerId, {
      move: true,
      exclude: ['run/stub'],
      timestamp: { seconds: 1_000_000, mode: 'set' },
      windows: { madeAtSeconds: 2_000_000 },
    });
    const tree = await store.layers.diffDirectory(layer.id);
    const paths = ['Files', 'Files/file', 'Files/run', 'Hives'];
    assert.deepEqual(readdirSync(tree, { recursive: true }).sort(), paths);
    for (const path of paths) assert.equal(statSync(join(tree, path)).mtimeMs, 1e9, path);
    const bytes = await buffer((await store.layers.diff(layer.id)).stream);
    assert.equal(digestOf(bytes), layer.diffId);
    assert.ok(existsSync(join(await inside(store, container.layerId), 'file')));
    await leave(store, container.layerId);
  });

  if (isRoot)
    test("a container with ids of its own shows the image's files under them, and commits them back", async () => {
      await using store = await open();
      const base = await store.layers.createFromTar({}, Readable.from([baseTar()]));
      const image = await store.images.create({ topLayer: base.id });
      const range = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
      const container = await store.containers.create({
        imageId: image.id,
        idMappings: { uids: range, gids: range },
      });
      const tree = await store.layers.mount(container.layerId);
      for (const path of ['', 'dir', 'dir/file', 'kept'])
        assert.equal(statSync(join(tree, path)).uid, 100_000, path);
      writeFileSync(join(tree, 'kept'), 'more');
      writeFileSync(join(tree, 'new'), 'n');
      chownSync(join(tree, 'new'), 100_007, 100_008);
      assert.equal(statSync(join(tree, 'kept')).uid, 100_000);
      await store.layers.unmount(container.layerId);
      const layer = await store.layers.commitFrom(container.layerId, { move: false });
      assert.deepEqual(
        [layer.uids, layer.gids],
        [
          [0, 7],
          [0, 8],
        ],
      );
      const bytes = await buffer((await store.layers.diff(layer.id)).stream);
      assert.equal(digestOf(bytes), layer.diffId);
      await store.deleteContainer(container.id);
      const plain = await store.containers.create({
        imageId: (await store.images.create({ topLayer: layer.id })).id,
      });
      const again = await store.layers.mount(plain.layerId);
      assert.deepEqual(
        ['kept', 'new', 'gone'].map((path) => statSync(join(again, path)).uid),
        [0, 7, 0],
      );
      await store.layers.unmount(plain.layerId);
    });

  test('SECURITY 6: names that are not UTF-8 are kept, listed and removed', async () => {
    await using store = await open();
    const base = await store.layers.createFromTar({}, Readable.from([baseTar()]));
    const container = await store.containers.create({
      imageId: (await store.images.create({ topLayer: base.id })).id,
    });
    const root = Buffer.from(await inside(store, container.layerId));
    const odd = Buffer.concat([root, Buffer.from('/dir/'), Buffer.from([0xff, 0xfe])]);
    mkdirSync(odd);
    writeFileSync(Buffer.concat([odd, Buffer.from('/f')]), 'x');
    await leave(store, container.layerId);
    assert.equal((await store.layers.changes(container.layerId)).length, 3);
    const layer = await store.layers.commitFrom(container.layerId, { move: false });
    const bytes = await buffer((await store.layers.diff(layer.id)).stream);
    assert.equal(digestOf(bytes), layer.diffId);
    assert.ok(bytes.includes(Buffer.from([0x2f, 0xff, 0xfe, 0x2f])));
    await store.deleteContainer(container.id);
    assert.deepEqual(temporaryFiles(store.graphRoot, driver), []);
  });

  test('a large container is copied in a worker, without a word on stderr', async () => {
    await using store = await open();
    const container = await store.containers.create({});
    const root = await inside(store, container.layerId);
    for (let file = 0; file < 250; file += 1) writeFileSync(join(root, `f${file}`), `${file}`);
    await leave(store, container.layerId);
    const warnings: string[] = [];
    const note = (warning: Error) => void warnings.push(warning.message);
    process.on('warning', note);
    const layer = await store.layers.commitFrom(container.layerId, { move: false });
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.off('warning', note);
    assert.equal(readdirSync(await store.layers.diffDirectory(layer.id)).length, 250);
    assert.deepEqual(warnings, []);
  });

  test('names are unique and deleting a layer in use is refused', async () => {
    await using store = await open();
    const base = await store.layers.createFromTar({ names: ['one'] }, Readable.from([baseTar()]));
    await assert.rejects(store.layers.create({ names: ['one'] }), code('name-in-use'));
    const child = await store.layers.create({ parent: base.id });
    await assert.rejects(store.layers.delete(base.id), code('in-use'));
    await store.layers.delete(child.id);
    await store.layers.delete('one');
    assert.deepEqual(await store.layers.list(), []);
    assert.deepEqual(residue(store.graphRoot, driver), []);
  });

  test('deleting an image keeps what others need', async () => {
    await using store = await open();
    const base = await store.layers.createFromTar({}, Readable.from([baseTar()]));
    const [a, b] = await Promise.all(
      ['a', 'b'].map((name) =>
        store.layers.createFromTar({ parent: base.id }, Readable.from([tarOf([{ name, body: name }])])),
      ),
    );
    const first = await store.images.create({ topLayer: a!.id, names: ['localhost/a:1'] });
    const second = await store.images.create({ topLayer: b!.id, names: ['localhost/b:1'] });
    const container = await store.containers.create({ imageId: second.id });
    assert.deepEqual((await store.deleteImage(first.id)).removedLayers, [a!.id]);
    await assert.rejects(store.deleteImage(second.id), code('in-use'));
    await store.deleteContainer(container.id);
    assert.deepEqual((await store.deleteImage('localhost/b:1')).removedLayers, [b!.id, base.id]);
    await assert.rejects(store.deleteImage('localhost/b:1'), code('no-such-image'));
    assert.deepEqual(residue(store.graphRoot, driver), []);
  });

  test('SECURITY 3A: an incomplete layer of a killed writer is removed by the next one', async () => {
    const name = `store${count++}`;
    {
      await using store = await open(name);
      await store.layers.createFromTar({}, Readable.from([baseTar()]));
    }
    const json = join(directory, name, 'root', `${driver}-layers/layers.json`);
    const rows = JSON.parse(readFileSync(json, 'utf8')) as { flags?: object }[];
    writeFileSync(json, JSON.stringify([{ ...rows[0], flags: { incomplete: true, other: 1 } }]));
    await using store = await open(name);
    assert.deepEqual(await store.layers.list(), []);
    assert.deepEqual(residue(store.graphRoot, driver), []);
  });

  test('sweep removes what no record knows, and only that', async () => {
    await using store = await open();
    const kept = await store.layers.createFromTar({}, Readable.from([baseTar()]));
    const stray = 'e'.repeat(64);
    const places = [
      driver === 'vfs' ? `vfs/dir/${stray}` : `overlay/${stray}`,
      `${driver}-layers/${stray}`,
      `${driver}-images/${stray}`,
      `${driver}-containers/${stray}`,
    ].map((path) => join(store.graphRoot, path));
    for (const path of places) mkdirSync(path, { recursive: true });
    writeFileSync(join(store.graphRoot, `${driver}-layers/${stray}.tar-split.gz`), '');
    await store.sweep();
    assert.deepEqual(
      places.filter((path) => existsSync(path)),
      [],
    );
    assert.ok(existsSync(await store.layers.diffDirectory(kept.id)));
    assert.ok(existsSync(join(store.graphRoot, `${driver}-layers/${kept.id}.tar-split.gz`)));
  });

  test('sweep removes layers that nothing refers to, once nobody can be about to', async () => {
    const day = 24 * 60 * 60 * 1000;
    await using store = await open();
    const base = await store.layers.createFromTar({}, Readable.from([baseTar()]));
    const image = await store.images.create({ topLayer: base.id });
    const container = await store.containers.create({ imageId: image.id });
    const left = await store.layers.create({ parent: base.id });
    const named = await store.layers.create({ parent: base.id, names: ['kept'] });
    const mounted = await store.layers.create({ parent: base.id });
    await store.layers.mount(mounted.id);
    const early = await store.layers.createFromTar(
      { parent: base.id },
      Readable.from([tarOf([{ name: 'e', body: 'e' }])]),
    );
    await store.layers.create({ parent: early.id });
    const ids = async () => (await store.layers.list()).map(({ id }) => id).sort();
    const kept = [base.id, container.layerId, named.id];
    await store.sweep();
    assert.deepEqual(await ids(), [...kept, mounted.id, early.id].sort());
    assert.ok(!existsSync(join(store.graphRoot, driver, driver === 'vfs' ? 'dir' : '', left.id)));
    await store.layers.unmount(mounted.id);
    await store.sweep();
    assert.deepEqual(await ids(), [...kept, early.id].sort());
    await using later = await open(basename(dirname(store.graphRoot)), () => new Date(Date.now() + day + 1));
    await later.sweep();
    assert.deepEqual(await ids(), kept.sort());
  });

  test('removing a layer that lost its directory leaves that of an additional store alone', async () => {
    await using lender = await open();
    const { id } = await lender.layers.createFromTar({}, Readable.from([baseTar()]));
    const lent = await lender.layers.diffDirectory(id);
    const name = `store${count++}`;
    await using store = await open(name, undefined, [`${driver}.imagestore=${lender.graphRoot}`]);
    const own = await store.layers.createFromTar({}, Readable.from([baseTar()]));
    assert.equal(own.id, id);
    const directory = await store.layers.diffDirectory(id);
    assert.notEqual(directory, lent);
    rmSync(driver === 'vfs' ? directory : dirname(directory), { recursive: true });
    await store.layers.delete(id);
    assert.ok(existsSync(join(lent, 'kept')));
  });

  test('layers carry big data', async () => {
    await using store = await open();
    const { id } = await store.layers.create({});
    await store.layers.setBigData(id, 'Odd Key', Buffer.from('data'));
    assert.deepEqual(await store.layers.bigData(id, 'Odd Key'), Buffer.from('data'));
    assert.equal(await store.layers.bigData(id, 'none'), undefined);
    assert.deepEqual((await store.layers.get(id))!.bigDataNames, ['Odd Key']);
    assert.ok(existsSync(join(store.graphRoot, `${driver}-layers`, id, '=T2RkIEtleQ==')));
  });
}

/** What the changes of a container are made in: its mount where the driver mounts. */
const inside = (store: Awaited<ReturnType<typeof openStore>>, id: string) => store.layers.mount(id);
const leave = (store: Awaited<ReturnType<typeof openStore>>, id: string) => store.layers.unmount(id);
async function leaveAll(store: Awaited<ReturnType<typeof openStore>>) {
  for (const { layerId } of await store.containers.list())
    await store.layers.unmount(layerId, { force: true });
}

function baseTar(): Buffer {
  return tarOf([
    { name: 'dir/', mode: 0o755 },
    { name: 'dir/file', body: 'old', mtime: 1_600_000_000 },
    { name: 'gone', body: 'x', mtime: 1_600_000_000 },
    { name: 'kept', body: 'k', mtime: 1_600_000_000 },
  ]);
}

function change(root: string): void {
  writeFileSync(join(root, 'new'), 'n');
  linkSync(join(root, 'new'), join(root, 'hard'));
  writeFileSync(join(root, 'dir/file'), 'changed');
  mkdirSync(join(root, 'dir/deep'));
  symlinkSync('../file', join(root, 'dir/deep/link'));
  rmSync(join(root, 'gone'));
  utimesSync(join(root, 'new'), 1_650_000_000, 1_650_000_000);
  chmodSync(join(root, 'dir'), 0o2750);
}

function temporaryFiles(graphRoot: string, driver: string): string[] {
  return [join(graphRoot, driver, 'tempdirs'), join(graphRoot, `${driver}-layers`, 'tmp')].flatMap((path) =>
    existsSync(path) ? readdirSync(path) : [],
  );
}

/** Everything below a store that is no lock and no database. */
function residue(graphRoot: string, driver: string): string[] {
  return readdirSync(graphRoot, { recursive: true, encoding: 'utf8' }).filter(
    (path) =>
      !/\.(lock|json)$/.test(path) &&
      ![driver, `${driver}/l`, `${driver}/dir`, `${driver}/tempdirs`, `${driver}-layers/tmp`].includes(
        path,
      ) &&
      !/^(overlay|vfs)-(layers|images|containers)$/.test(path),
  );
}

const vfs = suite('layers on vfs');
contract(vfs, 'vfs');
vfs.run();

const overlay = suite('layers on overlay');
overlay.after(() => rmSync(directory, { recursive: true, force: true }));
if (isRoot) contract(overlay, 'overlay');
else {
  console.log('SKIP layers on overlay: mounting needs root');
  overlay.skip('needs root', () => {});
}
overlay.run();
