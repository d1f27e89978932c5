import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { suite, type Test } from 'uvu';
import { readStoredConfig, readStoredImage } from '../../../build/container/stored-image.ts';
import { type Digest, digestOf } from '../../../image/digest.ts';
import { parseManifest } from '../../../image/manifest.ts';
import { EMPTY_LAYER, EMPTY_LAYER_DIGEST, schema1Layers } from '../../../image/schema1.ts';
import type { Store } from '../../../store/storage/contract.ts';
import { openStore } from '../../../store/storage/open.ts';
import { isDeletable, type StoredSignature } from '../../../transport/contract.ts';
import { copyImage } from '../../../transport/copy.ts';
import { TransportError } from '../../../transport/error.ts';
import { parseImageReference } from '../../../transport/references.ts';
import { tarOf } from '../../support/tar.ts';

const directory = mkdtempSync(join(tmpdir(), 'slipway-storage-copy-'));
let count = 0;

interface Made {
  readonly path: string;
  readonly diffIds: readonly Digest[];
  readonly manifest: Buffer;
  readonly configDigest: Digest;
}

/** A `dir:` image with one gzip layer for each body. */
function makeDir(
  bodies: readonly string[],
  options: { readonly lie?: boolean; readonly signatures?: readonly string[] } = {},
): Made {
  const path = join(directory, `dir${count++}`);
  mkdirSync(path);
  const put = (bytes: Buffer) => {
    const digest = digestOf(bytes);
    writeFileSync(join(path, digest.slice(7)), bytes);
    return { digest, size: bytes.length };
  };
  const tars = bodies.map((body) => tarOf([{ name: `file-${body}`, body }]));
  const diffIds = tars.map((tar) => digestOf(tar));
  const layers = tars.map((tar) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    ...put(gzipSync(tar)),
  }));
  const config = put(
    Buffer.from(
      JSON.stringify({
        created: '2020-02-02T02:02:02Z',
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: options.lie ? diffIds.map(() => digestOf('lie')) : diffIds },
      }),
    ),
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const configType = 'application/vnd.oci.image.config.v1+json';
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType, config: { mediaType: configType, ...config }, layers }),
  );
  writeFileSync(join(path, 'manifest.json'), manifest);
  writeFileSync(join(path, 'version'), 'Directory Transport Version: 1.1\n');
  for (const [index, text] of (options.signatures ?? []).entries())
    writeFileSync(
      join(path, `signature-${index + 1}`),
      Buffer.concat([Buffer.from([0x89]), Buffer.from(text)]),
    );
  return { path, diffIds, manifest, configDigest: config.digest };
}

/** A `dir:` image of schema 1: a layer, a step without one, and a layer whose history entry is there twice. */
function makeSchema1(): { readonly path: string; readonly manifest: Buffer; readonly diffIds: Digest[] } {
  const path = join(directory, `dir${count++}`);
  mkdirSync(path);
  const tars = ['a', 'b'].map((body) => tarOf([{ name: `file-${body}`, body }]));
  const put = (bytes: Buffer) => {
    writeFileSync(join(path, digestOf(bytes).slice(7)), bytes);
    return { blobSum: digestOf(bytes) };
  };
  const [base, top] = tars.map((tar) => put(gzipSync(tar)));
  const entry = (id: string, parent?: string, more = {}) => ({
    v1Compatibility: JSON.stringify({ id: id.repeat(64), parent: parent?.repeat(64), os: 'linux', ...more }),
  });
  const last = entry('c', 'b', { created: '2020-02-02T02:02:02Z', config: { Env: ['A=b'] } });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 1,
      name: 'x',
      tag: '1',
      architecture: 'amd64',
      fsLayers: [top, top, put(EMPTY_LAYER), base],
      history: [last, last, entry('b', 'a', { throwaway: true }), entry('a')],
    }),
  );
  writeFileSync(join(path, 'manifest.json'), manifest);
  writeFileSync(join(path, 'version'), 'Directory Transport Version: 1.1\n');
  return { path, manifest, diffIds: tars.map((tar) => digestOf(tar)) };
}

function contract(test: Test, driver: 'overlay' | 'vfs') {
  const fresh = async () => {
    const root = join(directory, `store${count++}`);
    return await openStore({ graphRoot: join(root, 'root'), runRoot: join(root, 'run'), driver });
  };
  const contextOf = (store: Store) => ({
    platform: { os: 'linux', architecture: 'amd64' },
    temporaryDirectory: directory,
    openStore: async () => store,
  });
  const parse = (text: string) => parseImageReference(text, { workingDirectory: directory });
  const copy = async (store: Store, from: string, to: string, options = {}) =>
    await copyImage({ admit: async () => {} }, await parse(from), await parse(to), {
      source: contextOf(store),
      destination: contextOf(store),
      ...options,
    });

  test('an image goes in with its manifest bytes and comes out as plain layers', async () => {
    await using store = await fresh();
    const made = makeDir(['a', 'b', 'c']);
    await copy(store, `dir:${made.path}`, 'containers-storage:localhost/x:1');
    const image = (await store.images.get('localhost/x:1'))!;
    assert.equal(image.id, made.configDigest.slice(7));
    assert.equal(image.created, '2020-02-02T02:02:02Z');
    assert.equal(image.digest, digestOf(made.manifest));
    assert.deepEqual(image.bigDataNames, [
      made.configDigest,
      `manifest-${digestOf(made.manifest)}`,
      'manifest',
    ]);
    assert.deepEqual(await store.images.bigData(image.id, 'manifest'), made.manifest);
    assert.equal(image.metadata, '{}');
    assert.deepEqual(
      (await store.layers.list()).map(({ diffId, compression }) => [diffId, compression]),
      made.diffIds.map((diffId) => [diffId, 'gzip']),
    );
    const out = join(directory, `out${count++}`);
    const result = await copy(store, 'containers-storage:localhost/x:1', `dir:${out}`);
    const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as {
      layers: { digest: string }[];
    };
    assert.deepEqual(
      manifest.layers.map(({ digest }) => digest),
      made.diffIds,
    );
    assert.equal(result.images, 1);
  });

  test('a file that was changed in the store is named, and nothing of its image is published', async () => {
    await using store = await fresh();
    const made = makeDir(['a', 'b']);
    await copy(store, `dir:${made.path}`, 'containers-storage:localhost/x:1');
    const layer = (await store.layers.list()).find(({ diffId }) => diffId === made.diffIds[1])!;
    const diff = async () => buffer((await store.layers.diff(layer.id)).stream);
    writeFileSync(join(await store.layers.diffDirectory(layer.id), 'file-b'), 'B');
    const wrong = {
      code: 'bad-layer',
      message: '"file-b" of the layer is not what it was when the layer was made',
    };
    await assert.rejects(diff(), wrong);
    for (const compression of [undefined, { format: 'gzip' as const }]) {
      const out = join(directory, `out${count++}`);
      const to = compression ? `oci:${out}:x` : `dir:${out}`;
      await assert.rejects(copy(store, 'containers-storage:localhost/x:1', to, { compression }), wrong);
      assert.ok(!existsSync(join(out, 'manifest.json')) && !existsSync(join(out, 'index.json')));
    }
    writeFileSync(join(await store.layers.diffDirectory(layer.id), 'file-b'), 'b');
    await copy(store, 'containers-storage:localhost/x:1', `dir:${join(directory, `out${count++}`)}`);
  });

  test('schema 1 goes in as it is, without its empty and repeated layers, and out in any format', async () => {
    await using store = await fresh();
    const { path, manifest, diffIds } = makeSchema1();
    const name = `containers-storage:localhost/x@${digestOf(manifest)}`;
    await copy(store, `dir:${path}`, name);
    const image = (await store.images.list())[0]!;
    assert.deepEqual(await store.images.bigData(image.id, 'manifest'), manifest);
    assert.deepEqual(
      (await store.layers.list()).map(({ diffId }) => diffId),
      diffIds,
    );
    assert.equal(image.created, '2020-02-02T02:02:02Z');
    const { config, configBytes } = await readStoredConfig(store, await readStoredImage(store, image));
    assert.equal(image.id, digestOf(configBytes).slice(7));
    assert.deepEqual([config.config?.Env, config.rootfs.diff_ids], [['A=b'], diffIds]);
    const out = join(directory, `out${count++}`);
    await copy(store, `containers-storage:@${image.id}`, `dir:${out}`, { format: 'oci' });
    const written = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'));
    assert.deepEqual(
      written.layers.map(({ digest }: { digest: string }) => digest),
      diffIds,
    );
    await copy(store, `containers-storage:@${image.id}`, `dir:${out}-1`);
    const again = parseManifest(readFileSync(join(`${out}-1`, 'manifest.json')));
    assert.ok(again.kind === 'schema1');
    assert.deepEqual(
      schema1Layers(again).map(({ digest }) => digest),
      [diffIds[0], EMPTY_LAYER_DIGEST, diffIds[1]],
    );
  });

  test('an encrypted layer is refused by name, since nothing of it can be unpacked', async () => {
    await using store = await fresh();
    const made = makeDir(['a']);
    const manifest = join(made.path, 'manifest.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('tar+gzip', 'tar+gzip+encrypted'));
    await assert.rejects(
      copy(store, `dir:${made.path}`, 'containers-storage:localhost/x:1'),
      (error) => error instanceof TransportError && /is encrypted.*config's DiffID/.test(error.message),
    );
    assert.deepEqual(await store.images.list(), []);
  });

  test('a second image shares the layers it has in common, and the name moves', async () => {
    await using store = await fresh();
    const first = makeDir(['a', 'b']);
    const second = makeDir(['a', 'c']);
    await copy(store, `dir:${first.path}`, 'containers-storage:localhost/x:1');
    const { counts } = await copy(store, `dir:${second.path}`, 'containers-storage:localhost/x:1');
    assert.equal((await store.layers.list()).length, 3);
    assert.ok(JSON.stringify(counts).includes('"reused":1'));
    const old = (await store.images.get(first.configDigest.slice(7)))!;
    assert.deepEqual(old.names, []);
    assert.deepEqual(old.namesHistory, ['localhost/x:1']);
    assert.equal((await store.images.get('localhost/x:1'))!.id, second.configDigest.slice(7));
  });

  test('equal layers in one image, and equal contents above another parent', async () => {
    await using store = await fresh();
    const twice = makeDir(['a', 'a', 'b']);
    await copy(store, `dir:${twice.path}`, 'containers-storage:localhost/twice:1');
    const other = makeDir(['b', 'a']);
    await copy(store, `dir:${other.path}`, 'containers-storage:localhost/other:1');
    const layers = await store.layers.list();
    assert.equal(layers.length, 5);
    assert.equal(new Set(layers.map(({ id }) => id)).size, 5);
    for (const layer of layers) assert.equal(layer.compression, 'gzip');
    const out = join(directory, `out${count++}`);
    await copy(store, 'containers-storage:localhost/other:1', `dir:${out}`);
  });

  test('the same image again moves no layer and adds the name', async () => {
    await using store = await fresh();
    const made = makeDir(['a']);
    await copy(store, `dir:${made.path}`, 'containers-storage:localhost/x:1');
    await copy(store, `dir:${made.path}`, 'containers-storage:localhost/y:1');
    assert.deepEqual((await store.images.get(made.configDigest.slice(7)))!.names, [
      'localhost/y:1',
      'localhost/x:1',
    ]);
    assert.equal((await store.images.list()).length, 1);
  });

  test('images are found by id, prefix, digest and name with digest', async () => {
    await using store = await fresh();
    const made = makeDir(['a']);
    await copy(store, `dir:${made.path}`, 'containers-storage:localhost/x:1');
    const id = made.configDigest.slice(7);
    for (const name of [
      id,
      `@${id}`,
      `@${id.slice(0, 12)}`,
      id.slice(0, 12),
      'localhost/x:1',
      `localhost/x@${digestOf(made.manifest)}`,
      `localhost/x:1@${id}`,
    ]) {
      const reference = await parse(`containers-storage:${name}`);
      await using source = await reference.openSource(contextOf(store));
      assert.ok(source.reference.policyIdentity.endsWith(id), name);
      assert.deepEqual((await source.getManifest()).bytes, made.manifest);
    }
    for (const name of ['localhost/x:2', `localhost/y@${digestOf(made.manifest)}`, 'f'.repeat(64)])
      await assert.rejects(
        async () => (await parse(`containers-storage:${name}`)).openSource(contextOf(store)),
        (error) => error instanceof TransportError && error.code === 'not-found',
        name,
      );
  });

  test('signatures are kept in the original form and come out again', async () => {
    await using store = await fresh();
    const made = makeDir(['a'], { signatures: ['one', 'three'] });
    await copy(store, `dir:${made.path}`, 'containers-storage:localhost/x:1');
    const image = (await store.images.get('localhost/x:1'))!;
    const digest = digestOf(made.manifest);
    assert.deepEqual(JSON.parse(image.metadata), {
      'signature-sizes': [4, 6],
      'signatures-sizes': { [digest]: [4, 6] },
    });
    assert.ok(image.bigDataNames.includes(`signature-${digest.slice(7)}`));
    await using source = await (await parse('containers-storage:localhost/x:1')).openSource(contextOf(store));
    const texts = (list: readonly StoredSignature[]) =>
      list.map(
        (signature) => signature.kind === 'simple' && Buffer.from(signature.bytes).subarray(1).toString(),
      );
    assert.deepEqual(texts(await source.getSignatures()), ['one', 'three']);
    assert.deepEqual(texts(await source.getSignatures(digest)), ['one', 'three']);
  });

  test('the image of a platform is found by the digest of the index it came from', async () => {
    await using store = await fresh();
    const made = makeDir(['a']);
    const platform = { os: 'linux', architecture: 'amd64' };
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const child = { mediaType, digest: digestOf(made.manifest), size: made.manifest.length, platform };
    const index = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [child],
      }),
    );
    writeFileSync(join(made.path, 'manifest.json'), index);
    writeFileSync(join(made.path, `${digestOf(made.manifest).slice(7)}.manifest.json`), made.manifest);
    await copy(store, `dir:${made.path}`, `containers-storage:localhost/x@${digestOf(index)}`);
    await copy(store, `dir:${made.path}`, 'containers-storage:localhost/x:1');
    const image = (await store.images.get('localhost/x:1'))!;
    assert.deepEqual(await store.images.bigData(image.id, `manifest-${digestOf(index)}`), index);
    assert.deepEqual(await store.images.bigData(image.id, 'manifest'), made.manifest);
    await using source = await (await parse(`containers-storage:localhost/x@${digestOf(index)}`)).openSource(
      contextOf(store),
    );
    assert.deepEqual((await source.getManifest()).bytes, index);
    assert.deepEqual((await source.getManifest(digestOf(made.manifest))).bytes, made.manifest);
    const out = join(directory, `out${count++}`);
    await copy(store, `containers-storage:localhost/x:1`, `dir:${out}`);
  });

  test('an image by another digest than the reference says is refused', async () => {
    await using store = await fresh();
    const made = makeDir(['a']);
    const wrong = `containers-storage:localhost/x@${digestOf('other')}`;
    await assert.rejects(copy(store, `dir:${made.path}`, wrong), TransportError);
    assert.deepEqual(await store.images.list(), []);
    await copy(store, `dir:${made.path}`, `containers-storage:localhost/x@${digestOf(made.manifest)}`);
  });

  for (const [why, break_, options] of [
    ['a config that lies about its layers', () => {}, { lie: true }],
    [
      'a damaged layer',
      ({ path }: Made) => {
        const name = readdirSync(path).find(
          (file) => file.length === 64 && readFileSync(join(path, file))[0] === 0x1f,
        )!;
        const bytes = readFileSync(join(path, name));
        bytes[bytes.length - 9]! ^= 0xff;
        writeFileSync(join(path, name), bytes);
      },
      {},
    ],
  ] as const)
    test(`SECURITY I5: ${why} leaves no image and nothing else`, async () => {
      await using store = await fresh();
      const made = makeDir(['a'], options);
      break_(made);
      await assert.rejects(copy(store, `dir:${made.path}`, 'containers-storage:localhost/x:1'));
      assert.deepEqual(await store.images.list(), []);
      assert.deepEqual(await store.layers.list(), []);
      const temporary = join(store.graphRoot, driver, 'tempdirs');
      assert.deepEqual(existsSync(temporary) ? readdirSync(temporary) : [], []);
      assert.deepEqual(
        readdirSync(directory).filter((name) => name.startsWith('storage-')),
        [],
      );
    });

  test('deleting removes the image with its layers', async () => {
    await using store = await fresh();
    await copy(store, `dir:${makeDir(['a', 'b']).path}`, 'containers-storage:localhost/x:1');
    const reference = await parse('containers-storage:localhost/x:1');
    assert.ok(isDeletable(reference));
    await reference.deleteImage(contextOf(store));
    assert.deepEqual(await store.images.list(), []);
    assert.deepEqual(await store.layers.list(), []);
  });
}

const vfs = suite('copies with containers-storage on vfs');
contract(vfs, 'vfs');
vfs.run();

const overlay = suite('copies with containers-storage on overlay');
overlay.after(() => rmSync(directory, { recursive: true, force: true }));
if (process.geteuid?.() === 0) contract(overlay, 'overlay');
else {
  console.log('SKIP copies with containers-storage on overlay: owners need root');
  overlay.skip('needs root', () => {});
}
overlay.run();
