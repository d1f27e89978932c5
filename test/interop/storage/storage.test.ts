import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { suite, type Test } from 'uvu';
import type { Store } from '../../../store/storage/contract.ts';
import { openStore } from '../../../store/storage/open.ts';
import { copyImage } from '../../../transport/copy.ts';
import { parseImageReference } from '../../../transport/references.ts';
import { makeRootfs } from '../../support/rootfs.ts';
import { tarOf } from '../../support/tar.ts';
import { imageOver } from './image-over.ts';
import { missing, type Places, peer, peerAsync, placesIn, storageName } from './peers.ts';

// Podman refuses paths with capital letters, which mkdtemp makes.
const directory = join(tmpdir(), `slipway-peers-${process.pid}`);
mkdirSync(directory, { mode: 0o700 });
const reason = missing('podman', 'buildah', 'skopeo');
let count = 0;

async function open(places: Places): Promise<Store> {
  return await openStore({ ...places });
}

async function copy(from: string, to: string): Promise<void> {
  const stores: Store[] = [];
  const context = {
    platform: { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch },
    temporaryDirectory: directory,
    openStore: async (location?: { graphRoot?: string; runRoot?: string; driver?: string }) => {
      const store = await openStore({
        graphRoot: location!.graphRoot!,
        runRoot: location!.runRoot!,
        driver: location!.driver,
      });
      stores.push(store);
      return store;
    },
  };
  const parse = (text: string) => parseImageReference(text, { workingDirectory: directory });
  await copyImage({ admit: async () => {} }, await parse(from), await parse(to), {
    source: context,
    destination: context,
  });
  for (const store of stores) await store[Symbol.asyncDispose]();
}

/** Podman reads the images that it listed without a lock: one that a commit beside it replaced meanwhile is an error. */
async function listImages(places: Places, tries = 5): Promise<void> {
  try {
    await peerAsync(places, 'podman', 'images', '-q');
  } catch (error) {
    if (tries === 1 || !/consider removing the image/.test(String(error))) throw error;
    await listImages(places, tries - 1);
  }
}

function interop(test: Test, driver: 'overlay' | 'vfs') {
  const fresh = () => placesIn(join(directory, `${driver}${count++}`), driver);

  /** An image of three layers made by buildah. */
  const built = fresh();
  const layoutOf = join(directory, `layout-${driver}`);
  test.before(async () => {
    const rootfs = makeRootfs(join(directory, `rootfs-${driver}`));
    const container = peer(built, 'buildah', 'from', 'scratch');
    peer(built, 'buildah', 'add', '-q', container, rootfs, '/');
    peer(built, 'buildah', 'config', '--cmd', '/bin/sh', container);
    peer(built, 'buildah', 'commit', '-q', container, 'localhost/base:1');
    peer(built, 'buildah', 'rm', container);
    const file = join(directory, `Containerfile-${driver}`);
    writeFileSync(
      file,
      'FROM localhost/base:1\nRUN echo hi > /hi\nRUN rm /etc/passwd; mkdir /d; echo x > /d/x\n',
    );
    peer(
      built,
      'buildah',
      'bud',
      '-q',
      '--isolation',
      'chroot',
      '--layers',
      '-t',
      'localhost/kid:1',
      '-f',
      file,
      rootfs,
    );
    await copy(storageName(built, 'localhost/kid:1'), `oci:${layoutOf}:kid`);
  });

  test('an image that buildah built is read and copied out with its digests', async () => {
    const inspected = JSON.parse(
      spawnSync('skopeo', ['inspect', `oci:${layoutOf}:kid`], { encoding: 'utf8' }).stdout,
    ) as { Layers: string[] };
    assert.equal(inspected.Layers.length, 3);
    await using store = await open(built);
    const image = await store.images.get('localhost/kid:1');
    assert.ok(image?.topLayer);
    const theirs = peer(built, 'buildah', 'images', '-q', '--no-trunc', 'localhost/kid:1');
    assert.equal(`sha256:${image.id}`, theirs);
  });

  test('an image that we put is listed, inspected, run and removed by podman, with the ids of its own pull', async () => {
    const ours = fresh();
    const theirs = fresh();
    await copy(`oci:${layoutOf}:kid`, storageName(ours, 'localhost/kid:2'));
    peer(theirs, 'podman', 'pull', '-q', `oci:${layoutOf}:kid`);
    const ids = (places: Places) =>
      (JSON.parse(readFileSync(join(places.graphRoot, `${driver}-layers/layers.json`), 'utf8')) as Row[]).map(
        (row) => [
          row.id,
          row.parent,
          row['diff-digest'],
          row['compressed-diff-digest'],
          row['compressed-size'],
          row['diff-size'],
          row.compression,
          row.uidset,
        ],
      );
    assert.deepEqual(ids(ours), ids(theirs));
    const listed = peer(
      ours,
      'podman',
      'images',
      '--no-trunc',
      '--format',
      '{{.ID}} {{.Repository}}:{{.Tag}}',
    );
    assert.equal(listed, `${peer(theirs, 'podman', 'images', '--no-trunc', '-q')} localhost/kid:2`);
    assert.equal(
      peer(ours, 'podman', 'inspect', '--format', '{{.Config.Cmd}}', 'localhost/kid:2'),
      '[/bin/sh]',
    );
    const ran = peer(
      ours,
      'podman',
      'run',
      '--rm',
      '--network',
      'none',
      '--runtime',
      'runc',
      ...ULIMITS,
      'localhost/kid:2',
      '/bin/sh',
      '-c',
      'read a < /hi; echo got $a; [ -e /etc/passwd ] || echo gone',
    );
    // Podman makes /etc/passwd for the container where the image has none.
    assert.match(ran, /^got hi/);
    peer(ours, 'podman', 'rmi', 'localhost/kid:2');
    await using store = await open(ours);
    assert.deepEqual(await store.layers.list(), []);
    assert.deepEqual(await store.images.list(), []);
  });

  test('buildah builds on an image that we put, and we read the result', async () => {
    const places = fresh();
    await copy(`oci:${layoutOf}:kid`, storageName(places, 'localhost/kid:2'));
    const file = join(directory, 'Containerfile-next');
    writeFileSync(file, 'FROM localhost/kid:2\nRUN echo more > /more\n');
    peer(
      places,
      'buildah',
      'bud',
      '-q',
      '--isolation',
      'chroot',
      '-t',
      'localhost/next',
      '-f',
      file,
      directory,
    );
    await copy(storageName(places, 'localhost/next'), `dir:${join(directory, `dir-${driver}`)}`);
    assert.ok(existsSync(join(directory, `dir-${driver}`, 'manifest.json')));
  });

  test('skopeo reads what we committed from a container', async () => {
    const places = fresh();
    const layerId = await commitSomething(places);
    const to = `dir:${join(directory, `skopeo-${driver}`)}`;
    const result = spawnSync(
      'skopeo',
      ['copy', '-q', '--insecure-policy', storageName(places, 'localhost/made:1'), to],
      { encoding: 'utf8' },
    );
    assert.equal(result.status, 0, result.stderr);
    assert.ok(layerId);
    assert.equal(peer(places, 'buildah', 'images', '-q').length, 12);
    const container = peer(places, 'buildah', 'from', 'localhost/made:1');
    const mount = peer(places, 'buildah', 'mount', container);
    assert.equal(readFileSync(join(mount, 'new'), 'utf8'), 'n');
    assert.ok(!existsSync(join(mount, 'gone')));
    peer(places, 'buildah', 'umount', container);
    peer(places, 'buildah', 'rm', container);
  });

  test('SECURITY 4: working at once with buildah and podman loses nothing', async () => {
    const places = fresh();
    await copy(`oci:${layoutOf}:kid`, storageName(places, 'localhost/kid:2'));
    const rounds = [0, 1, 2, 3];
    const ours = async (lane: number) => {
      await using store = await open(places);
      for (const round of rounds) {
        const layer = await store.layers.createFromTar(
          {},
          Readable.from([tarOf([{ name: `f${lane}-${round}`, body: 'x' }])]),
        );
        await imageOver(store, layer.id, `localhost/ours:${lane}-${round}`);
        const image = await store.images.get('localhost/kid:2');
        const container = await store.containers.create({
          imageId: image!.id,
          names: [`ours-${lane}-${round}`],
        });
        const tree = await store.layers.mount(container.layerId);
        writeFileSync(join(tree, 'mark'), `${lane}`);
        await store.layers.unmount(container.layerId);
        await store.deleteContainer(container.id);
      }
    };
    const theirs = async (lane: number) => {
      for (const round of rounds) {
        const name = `theirs-${lane}-${round}`;
        await peerAsync(places, 'buildah', 'from', '-q', '--name', name, 'localhost/kid:2');
        await peerAsync(places, 'buildah', 'commit', '-q', name, `localhost/theirs:${lane}-${round}`);
        await peerAsync(places, 'buildah', 'rm', name);
        await listImages(places);
      }
    };
    await Promise.all([ours(0), theirs(0), ours(1), theirs(1)]);
    await using store = await open(places);
    const names = (await store.images.list()).flatMap((image) => image.names).sort();
    const expected = [0, 1].flatMap((lane) =>
      rounds.flatMap((round) => [`localhost/ours:${lane}-${round}`, `localhost/theirs:${lane}-${round}`]),
    );
    assert.deepEqual(names, [...expected, 'localhost/kid:2'].sort());
    assert.deepEqual(await store.containers.list(), []);
    const listed = peer(places, 'podman', 'images', '--format', '{{.Repository}}:{{.Tag}}')
      .split('\n')
      .filter((line) => !line.includes('<none>'))
      .sort();
    assert.deepEqual(listed, names);
    const layers = new Set((await store.layers.list()).map(({ id }) => id));
    for (const image of await store.images.list()) assert.ok(layers.has(image.topLayer!));
    assert.deepEqual(
      mountsBelow(places.graphRoot).filter((path) => path !== join(places.graphRoot, driver)),
      [],
    );
  });

  async function commitSomething(places: Places): Promise<string> {
    await using store = await open(places);
    const base = await store.layers.createFromTar({}, Readable.from([tarOf([{ name: 'gone', body: 'x' }])]));
    const image = await store.images.create({ topLayer: base.id });
    const container = await store.containers.create({ imageId: image.id });
    const tree = await store.layers.mount(container.layerId);
    writeFileSync(join(tree, 'new'), 'n');
    rmSync(join(tree, 'gone'));
    await store.layers.unmount(container.layerId);
    const layer = await store.layers.commitFrom(container.layerId, { move: true });
    await store.deleteContainer(container.id);
    await store.deleteImage(image.id);
    await imageOver(store, layer.id, 'localhost/made:1');
    return layer.id;
  }
}

interface Row {
  readonly id: string;
  readonly parent?: string;
  readonly 'diff-digest'?: string;
  readonly 'compressed-diff-digest'?: string;
  readonly 'compressed-size'?: number;
  readonly 'diff-size'?: number;
  readonly compression?: number;
  readonly uidset?: readonly number[];
}

const ULIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];

function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${path}/`));
}

for (const driver of ['overlay', 'vfs'] as const) {
  const test = suite(`${driver} store with podman, buildah and skopeo`);
  test.after(() => {
    for (const point of mountsBelow(directory).reverse()) spawnSync('umount', ['-l', point]);
    spawnSync('rm', ['-rf', directory]);
    mkdirSync(directory, { recursive: true });
  });
  if (reason === undefined) interop(test, driver);
  else {
    console.log(`SKIP ${driver} store with peers: ${reason}`);
    test.skip(reason, () => {});
  }
  test.run();
}

process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
