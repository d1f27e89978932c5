import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { suite } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { StoreError } from '../../../store/error.ts';
import { parseDriverOptions } from '../../../store/storage/driver-options.ts';
import {
  bigDataFileName,
  findByPrefix,
  isId,
  normalizedTimestamp,
  randomId,
} from '../../../store/storage/ids.ts';
import { openStore, type StoreOptions } from '../../../store/storage/open.ts';
import { tarOf } from '../../support/tar.ts';

const test = suite('images and containers');
const directory = mkdtempSync(join(tmpdir(), 'slipway-images-'));
test.after(() => rmSync(directory, { recursive: true, force: true }));
let count = 0;
const placesOf = (name: string) => ({
  graphRoot: join(directory, name, 'root'),
  runRoot: join(directory, name, 'run'),
});
const open = (options: Partial<StoreOptions> = {}, name = `store${count++}`) =>
  openStore({ ...placesOf(name), driver: 'vfs', ...options });
const code = (wanted: string) => (error: unknown) => error instanceof StoreError && error.code === wanted;

for (const [key, name] of [
  ['manifest', 'manifest'],
  ['sha256:ab', `=${Buffer.from('sha256:ab').toString('base64')}`],
  ['manifest-sha256:0', `=${Buffer.from('manifest-sha256:0').toString('base64')}`],
  ['a.b9', 'a.b9'],
  ['Capital', `=${Buffer.from('Capital').toString('base64')}`],
  ['../x', `=${Buffer.from('../x').toString('base64')}`],
] as const)
  test(`big data ${key} is the file ${name}`, () => {
    assert.equal(bigDataFileName(key), name);
  });

for (const key of ['', '.', '..'])
  test(`SECURITY I1: big data ${JSON.stringify(key)} is refused`, () => {
    assert.throws(() => bigDataFileName(key), StoreError);
  });

for (const [text, expected] of [
  ['2020-01-02T03:04:05Z', '2020-01-02T03:04:05Z'],
  ['2020-01-02T03:04:05.120000000Z', '2020-01-02T03:04:05.12Z'],
  ['2020-01-02T03:04:05.123456789+02:00', '2020-01-02T01:04:05.123456789Z'],
  ['2020-01-02T03:04:05.000Z', '2020-01-02T03:04:05Z'],
  ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z'],
  ['2020-13-02T03:04:05Z', undefined],
  ['2020-01-02', undefined],
  ['yesterday', undefined],
  ['', undefined],
] as const)
  test(`an image's time ${JSON.stringify(text)} is kept so that every tool can read it`, () => {
    assert.equal(normalizedTimestamp(text), expected);
  });

test('ids are 64 digits, and prefixes must be unique', () => {
  assert.ok(isId(randomId()));
  const rows = [{ id: 'aab0' }, { id: 'aac0' }];
  assert.equal(findByPrefix(rows, 'aab'), rows[0]);
  assert.equal(findByPrefix(rows, 'x'), undefined);
  assert.throws(() => findByPrefix(rows, 'aa'), code('ambiguous-id'));
});

test('SECURITY I1: an id that is no id never becomes a path', async () => {
  await using store = await open();
  for (const id of ['../../x', 'abc', `${'a'.repeat(64)}/`]) {
    await assert.rejects(store.images.create({ id }), code('unsafe-path'));
    await assert.rejects(store.layers.create({ id }), code('unsafe-path'));
    await assert.rejects(store.containers.create({ id }), code('unsafe-path'));
  }
});

test('names move between images and leave a history, the newest first', async () => {
  await using store = await open();
  const a = await store.images.create({ names: ['localhost/x:1', 'localhost/x:2'] });
  const b = await store.images.create({});
  await store.images.addNames(b.id, ['localhost/x:1']);
  assert.deepEqual((await store.images.get(a.id))!.names, ['localhost/x:2']);
  assert.deepEqual((await store.images.get('localhost/x:1'))!.id, b.id);
  await store.images.addNames(b.id, ['localhost/y:1']);
  assert.deepEqual((await store.images.get(b.id))!.names, ['localhost/y:1', 'localhost/x:1']);
  await store.images.removeNames(b.id, ['localhost/y:1']);
  await store.images.setNames(b.id, ['localhost/z:1']);
  const { names, namesHistory } = (await store.images.get(b.id))!;
  assert.deepEqual(names, ['localhost/z:1']);
  assert.deepEqual(namesHistory, ['localhost/z:1', 'localhost/x:1', 'localhost/y:1']);
});

test('an image is found by id, unique prefix, name and the digest of its manifests', async () => {
  await using store = await open();
  const manifest = Buffer.from('{"one":1}');
  const index = Buffer.from('{"manifests":[]}');
  const image = await store.images.create({
    names: ['localhost/x:1'],
    bigData: [
      { key: 'manifest', data: manifest },
      { key: `manifest-${digestOf(index)}`, data: index },
      { key: 'other', data: Buffer.from('x') },
    ],
  });
  assert.equal(image.digest, digestOf(manifest));
  for (const name of [image.id, image.id.slice(0, 12), 'localhost/x:1'])
    assert.equal((await store.images.get(name))!.id, image.id);
  for (const bytes of [manifest, index])
    assert.equal((await store.images.byDigest(digestOf(bytes))).length, 1);
  assert.deepEqual(await store.images.byDigest(digestOf('x')), []);
  assert.deepEqual(image.bigDataSizes, { manifest: 9, [`manifest-${digestOf(index)}`]: 16, other: 1 });
  await assert.rejects(store.images.bigData('none', 'manifest'), code('no-such-image'));
});

test('layers are found by what they stand on, and images by their top layers', async () => {
  await using store = await open();
  const base = await store.layers.create({});
  const left = await store.layers.create({ parent: base.id });
  const right = await store.layers.create({ parent: base.id });
  const top = await store.layers.create({ parent: left.id });
  const ids = (records: readonly { readonly id: string }[]) => records.map(({ id }) => id);
  assert.deepEqual(ids(await store.layers.childrenOf(undefined)), [base.id]);
  assert.deepEqual(ids(await store.layers.childrenOf(base.id)), [left.id, right.id]);
  assert.deepEqual(ids(await store.layers.childrenOf(top.id)), []);
  const image = async (topLayer?: string) =>
    (await store.images.create(topLayer === undefined ? {} : { topLayer })).id;
  const [bare, onLeft, onTop] = [await image(), await image(left.id), await image(top.id)];
  assert.deepEqual(ids(await store.images.withTopLayer(new Set([left.id, top.id]))), [onLeft, onTop]);
  assert.deepEqual(ids(await store.images.withTopLayer(new Set([right.id]))), []);
  assert.deepEqual(ids(await store.images.withTopLayer(new Set(['']))), [bare]);
});

test('an image again under its id gets names and data added; another top layer is refused', async () => {
  await using store = await open();
  const id = 'c'.repeat(64);
  await store.images.create({
    id,
    names: ['localhost/a:1'],
    bigData: [{ key: 'a', data: Buffer.from('1') }],
  });
  const again = await store.images.create({
    id,
    names: ['localhost/b:1'],
    bigData: [{ key: 'b', data: Buffer.from('2') }],
  });
  assert.deepEqual(again.names, ['localhost/b:1', 'localhost/a:1']);
  assert.deepEqual(again.bigDataNames, ['a', 'b']);
  const layer = await store.layers.create({});
  await assert.rejects(store.images.create({ id, topLayer: layer.id }), code('name-in-use'));
  await assert.rejects(store.images.create({ topLayer: 'f'.repeat(64) }), code('no-such-layer'));
});

test('containers have names, metadata, big data and directories', async () => {
  await using store = await open();
  const container = await store.containers.create({
    names: ['one'],
    metadata: '{"a":1}',
    flags: { own: true },
  });
  await assert.rejects(store.containers.create({ names: ['one'] }), /already in use by/);
  assert.equal((await store.layers.list()).length, 1);
  for (const name of ['one', container.id, container.id.slice(0, 8), container.layerId])
    assert.equal((await store.containers.get(name))!.id, container.id);
  await store.containers.setNames('one', ['two']);
  await store.containers.setMetadata('two', 'new');
  await store.containers.setBigData('two', 'buildah.json', Buffer.from('{}'));
  const { names, metadata, bigDataNames, flags } = (await store.containers.get('two'))!;
  assert.deepEqual([names, metadata, bigDataNames], [['two'], 'new', ['buildah.json']]);
  assert.deepEqual(flags, { MountLabel: '', ProcessLabel: '', own: true });
  assert.deepEqual(await store.containers.bigData('two', 'buildah.json'), Buffer.from('{}'));
  const own = await store.containers.directory('two');
  const run = await store.containers.runDirectory('two');
  writeFileSync(join(own, 'x'), '');
  assert.ok(own.endsWith(`vfs-containers/${container.id}/userdata`));
  await store.deleteContainer('two');
  assert.ok(!existsSync(own) && !existsSync(run));
  assert.deepEqual(await store.layers.list(), []);
  await assert.rejects(store.containers.create({ imageId: 'none' }), code('no-such-image'));
  await assert.rejects(store.deleteContainer('two'), code('no-such-container'));
});

test('names that an image has already are not written again', async () => {
  await using store = await open();
  const { id } = await store.images.create({ names: ['localhost/a:1'] });
  const path = join(store.graphRoot, 'vfs-images', 'images.json');
  const lastWriter = () => readFileSync(join(store.graphRoot, 'vfs-images', 'images.lock'), 'hex');
  const before = lastWriter();
  await store.images.addNames(id, ['localhost/a:1']);
  assert.equal(lastWriter(), before);
  await store.images.addNames(id, ['localhost/b:1']);
  await store.images.create({ names: ['localhost/a:1'] });
  assert.notEqual(lastWriter(), before);
  assert.deepEqual((await store.images.get(id))?.names, ['localhost/b:1']);
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8'))[0].names, ['localhost/b:1']);
});

test('many images change at once, or none of them', async () => {
  await using store = await open();
  const ids: string[] = [];
  let parent: string | undefined;
  for (const body of ['a', 'b', 'c']) {
    const layer = await store.layers.createFromTar({ parent }, Readable.from([tarOf([{ name: 'f', body }])]));
    parent = layer.id;
    ids.push((await store.images.create({ topLayer: parent, names: [`localhost/${body}:1`, body] })).id);
  }
  const [a, b, c] = ids as [string, string, string];
  await assert.rejects(
    store.changeImages(() => ({ removeNames: [{ id: a, names: ['a'] }], remove: [b, 'none'] })),
    code('no-such-image'),
  );
  const container = await store.containers.create({ imageId: c });
  await assert.rejects(
    store.changeImages(() => ({ remove: [a, c] })),
    code('in-use'),
  );
  assert.deepEqual(
    (await store.images.list()).map(({ names }) => names.length),
    [2, 2, 2],
  );
  await store.deleteContainer(container.id);
  const { removedLayers } = await store.changeImages((images, containers) => {
    assert.deepEqual([images.map(({ id }) => id), containers], [ids, []]);
    return { removeNames: [{ id: a, names: ['a'] }], remove: [b, c, b] };
  });
  assert.deepEqual(removedLayers.length, 2);
  assert.deepEqual(
    (await store.images.list()).map(({ names }) => names),
    [['localhost/a:1']],
  );
  assert.deepEqual((await store.layers.list()).length, 1);
  assert.ok(!existsSync(join(store.graphRoot, 'vfs-images', c)));
});

test('as many containers go as can', async () => {
  await using store = await open();
  const one = await store.containers.create({ names: ['one'] });
  const two = await store.containers.create({ names: ['two'] });
  const failures = await store.deleteContainers([one.id, 'none', 'two']);
  assert.deepEqual(
    failures.map(({ id, error }) => [id, code('no-such-container')(error)]),
    [['none', true]],
  );
  assert.deepEqual([await store.containers.list(), await store.layers.list()], [[], []]);
  assert.ok(!existsSync(join(store.graphRoot, 'vfs-containers', two.id)));
});

test('an additional store lends images and layers, read-only', async () => {
  const lent = placesOf('lent');
  let imageId: string;
  {
    await using store = await open({}, 'lent');
    const layer = await store.layers.createFromTar({}, Readable.from([tarOf([{ name: 'f', body: 'x' }])]));
    imageId = (
      await store.images.create({
        topLayer: layer.id,
        names: ['localhost/lent:1'],
        bigData: [{ key: 'manifest', data: Buffer.from('{}') }],
      })
    ).id;
  }
  const before = readFileSync(join(lent.graphRoot, 'vfs-images/images.json'), 'utf8');
  await using store = await open({ driverOptions: [`vfs.imagestore=${lent.graphRoot}`] });
  const image = (await store.images.get('localhost/lent:1'))!;
  assert.ok(image.readOnly);
  assert.deepEqual(await store.images.bigData(imageId, 'manifest'), Buffer.from('{}'));
  const container = await store.containers.create({ imageId });
  assert.equal(readFileSync(join(await store.layers.mount(container.layerId), 'f'), 'utf8'), 'x');
  await store.images.addNames(imageId, ['localhost/own:1']);
  assert.equal((await store.images.get('localhost/own:1'))!.readOnly, false);
  assert.equal(readFileSync(join(lent.graphRoot, 'vfs-images/images.json'), 'utf8'), before);
  await store.layers.unmount(container.layerId);
});

test('a separate image store holds images and their layers, not containers', async () => {
  const imageStore = join(directory, 'image-store');
  await using store = await open({ imageStore }, 'split');
  const layer = await store.layers.createFromTar({}, Readable.from([tarOf([{ name: 'f', body: 'x' }])]));
  const image = await store.images.create({ topLayer: layer.id, names: ['localhost/x:1'] });
  const container = await store.containers.create({ imageId: image.id });
  assert.ok(existsSync(join(imageStore, 'vfs/dir', layer.id, 'f')));
  assert.ok(existsSync(join(store.graphRoot, 'vfs/dir', container.layerId, 'f')));
  assert.ok(readFileSync(join(imageStore, 'vfs-layers/layers.json'), 'utf8').includes(layer.id));
  assert.ok(
    !readFileSync(join(store.graphRoot, 'vfs-layers/layers.json'), 'utf8').includes(`"id":"${layer.id}"`),
  );
  await store.deleteContainer(container.id);
  await store.deleteImage(image.id);
  assert.ok(!existsSync(join(imageStore, 'vfs/dir', layer.id)));
});

test('a transient store keeps containers in the run root', async () => {
  const places = placesOf('transient');
  {
    await using store = await open({ transient: true }, 'transient');
    await store.containers.create({ names: ['gone'] });
    assert.ok(existsSync(join(places.runRoot, 'vfs-containers/volatile-containers.json')));
    assert.ok(existsSync(join(places.runRoot, 'vfs-layers/volatile-layers.json')));
  }
  rmSync(places.runRoot, { recursive: true });
  await using store = await open({ transient: true }, 'transient');
  assert.deepEqual(await store.containers.list(), []);
  assert.deepEqual(await store.layers.list(), []);
});

test('the driver a store was made with wins over the default', async () => {
  const name = `store${count++}`;
  {
    await using store = await open({}, name);
    await store.layers.create({});
  }
  await using again = await openStore(placesOf(name));
  assert.equal(again.driver, 'vfs');
});

for (const [why, options, wanted] of [
  ['an unknown driver', { driver: 'btrfs' }, 'unsupported-driver'],
  ['a relative root', { graphRoot: 'here' }, 'bad-config'],
  ['mount options of vfs', { driverOptions: ['vfs.mountopt=nodev'] }, 'bad-config'],
  ['an unknown option', { driverOptions: ['vfs.nonsense=1'] }, 'bad-config'],
  ['an option without value', { driverOptions: ['nonsense'] }, 'bad-config'],
] as const)
  test(`${why} is refused`, async () => {
    await assert.rejects(open(options), code(wanted));
  });

test('driver options of another driver are skipped, those of overlay understood', () => {
  const options = parseDriverOptions('overlay', [
    'vfs.nonsense=1',
    'overlay.mountopt=nodev,metacopy=on',
    'overlay2.skip_mount_home=true',
    '.ignore_chown_errors=true',
    'imagestore=/a/,/b',
    'overlay.force_mask=shared',
  ]);
  assert.deepEqual(options.mountOptions, ['nodev', 'metacopy=on']);
  assert.equal(options.skipMountHome, true);
  assert.equal(options.ignoreChownErrors, true);
  assert.deepEqual(options.additionalStores, ['/a', '/b']);
  assert.equal(options.forceMask, 0o755);
  for (const bad of [
    'overlay.use_composefs=true',
    'overlay.size=10G',
    'overlay.ignore_chown_errors=maybe',
    'imagestore=rel',
  ])
    assert.throws(() => parseDriverOptions('overlay', [bad]), StoreError);
});

test('SECURITY 4: a store whose images.json is broken says which file, and keeps everything', async () => {
  const name = `store${count++}`;
  {
    await using store = await open({}, name);
    await store.images.create({ names: ['localhost/x:1'] });
  }
  const path = join(placesOf(name).graphRoot, 'vfs-images/images.json');
  writeFileSync(path, '[{"id":');
  await using store = await open({}, name);
  await assert.rejects(
    store.images.list(),
    (error) => code('corrupt-store')(error) && (error as Error).message.includes(path),
  );
  await assert.rejects(store.images.create({}), code('corrupt-store'));
  assert.equal(readFileSync(path, 'utf8'), '[{"id":');
});

test.run();
