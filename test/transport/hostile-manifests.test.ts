// Manifests and configs made to mislead, each served by a registry: refused with one clear error, nothing visible after.
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { suite } from 'uvu';
import { SlipwayError } from '../../errors.ts';
import { digestOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { type CopyOptions, copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import { dockerContext } from '../support/docker-context.ts';
import { ANYTHING, SMALL_LAYERS } from '../support/layout.ts';
import { seedBlob, startTestRegistry, type TestRegistry } from '../support/registry.ts';

interface State {
  directory: string;
  registry: TestRegistry;
}

const test = suite<State>('hostile manifests');
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'hostile-'));
  state.registry = await startTestRegistry();
});
test.after.each(async ({ directory, registry }) => {
  await registry.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A good image of one layer, as parts that a test spoils before it is served. */
async function parts({ registry }: State, config: object = {}) {
  const layer = SMALL_LAYERS[0] as Buffer;
  const packed = gzipSync(layer);
  const document = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
    ...config,
  });
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest as string,
    config: {
      mediaType: MEDIA_TYPE.ociConfig as string,
      digest: await seedBlob(registry, 'app', document),
      size: document.length,
    },
    layers: [
      {
        mediaType: `${MEDIA_TYPE.ociLayer}+gzip`,
        digest: await seedBlob(registry, 'app', packed),
        size: packed.length,
      },
    ],
  };
}

/** Serves bytes as the manifest `app:1`, past the checks of our own registry. */
function serve({ registry }: State, body: string, type: string = MEDIA_TYPE.ociManifest): void {
  registry.faults.clear();
  const headers = { 'content-type': type, 'docker-content-digest': digestOf(body) };
  registry.faults.add({ url: '/app/manifests/', status: 200, body, headers });
}

async function copy({ directory, registry }: State, to = 'oci:out:x', options: Partial<CopyOptions> = {}) {
  const context = dockerContext({ requestRetries: 0 }, { temporaryDirectory: directory });
  const parse = (text: string) => parseImageReference(text, { workingDirectory: directory });
  return copyImage(ANYTHING, await parse(`docker://${registry.address}/app:1`), await parse(to), {
    source: context,
    destination: context,
    ...options,
  });
}

/** One line, an error of ours, and no image. */
async function refused(state: State, to = 'oci:out:x', options: Partial<CopyOptions> = {}): Promise<string> {
  let message = '';
  await rejects(copy(state, to, options), (error) => {
    ok(error instanceof SlipwayError, String(error));
    message = error.message;
    equal(message.includes('\n'), false, message);
    return true;
  });
  equal(existsSync(join(state.directory, 'out/index.json')), false, 'an image is visible');
  return message;
}

test('the good image is copied', async (state) => {
  serve(state, JSON.stringify(await parts(state)));
  match((await copy(state)).digest, /^sha256:/);
});

for (const [name, rootfs] of [
  ['fewer', { type: 'layers', diff_ids: [] }],
  ['more', { type: 'layers', diff_ids: [digestOf('a'), digestOf('b')] }],
  ['of another type than layers', { type: 'tree', diff_ids: [digestOf('a')] }],
  ['null', { type: 'layers', diff_ids: [null] }],
  ['malformed', { type: 'layers', diff_ids: ['sha256:../../x'] }],
] as const)
  test(`M07: diff_ids that are ${name} never make an image of plain layers`, async (state) => {
    serve(state, JSON.stringify(await parts(state, { rootfs })));
    await rejects(copy(state, 'docker-archive:out.tar:app:1'), SlipwayError);
    equal(existsSync(join(state.directory, 'out.tar')), false);
  });

test('M13: embedded data that is not what the digest says is refused', async (state) => {
  const image = await parts(state);
  const data = Buffer.from('something else').toString('base64');
  for (const spoilt of [
    { ...image, config: { ...image.config, data } },
    { ...image, layers: image.layers.map((layer) => ({ ...layer, data })) },
  ]) {
    serve(state, JSON.stringify(spoilt));
    await refused(state);
  }
});

test('M02: a body that is another kind than its Content-Type says is taken for what its bytes are', async (state) => {
  const image = await parts(state);
  serve(state, JSON.stringify(image), MEDIA_TYPE.ociIndex);
  const { mediaType: _type, ...untyped } = image;
  match(await copy(state).then(({ manifest }) => manifest.mediaType), /manifest/);
  rmSync(join(state.directory, 'out'), { recursive: true });
  const both = {
    ...untyped,
    manifests: [{ mediaType: MEDIA_TYPE.ociManifest, digest: digestOf('x'), size: 1 }],
  };
  for (const type of [MEDIA_TYPE.ociManifest, MEDIA_TYPE.ociIndex, 'application/json']) {
    serve(state, JSON.stringify(both), type);
    await refused(state);
  }
  serve(state, JSON.stringify({ ...image, Manifests: [] }));
  await refused(state);
});

for (const [name, body] of [
  ['nesting of 10,000', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
  ['nested arrays', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
  ['a number without end', '{"schemaVersion":2,"layers":1e400}'],
  ['nothing', ''],
  ['null', 'null'],
  ['a byte order mark', '\ufeff{"schemaVersion":2}'],
  ['layers that are null', '{"schemaVersion":2,"config":null,"layers":null}'],
  ['duplicate keys', '{"schemaVersion":2,"schemaVersion":2}'],
] as const)
  test(`a manifest of ${name} is one clear error`, async (state) => {
    serve(state, body);
    await refused(state);
  });

test('M05: sizes that cannot be are refused before a blob is asked for', async (state) => {
  const image = await parts(state);
  for (const size of [-1, 1.5, 2 ** 53, '5', null]) {
    serve(state, JSON.stringify({ ...image, layers: image.layers.map((layer) => ({ ...layer, size })) }));
    state.registry.faults.log.length = 0;
    await refused(state);
    deepEqual(state.registry.faults.requests(/blobs/), [], String(size));
  }
});

test('keys named like parts of objects stay keys', async (state) => {
  const image = await parts(state, JSON.parse('{"config":{"Labels":{"__proto__":"x","constructor":"y"}}}'));
  const body = JSON.stringify(image).replace(
    /}$/,
    ',"annotations":{"__proto__":"polluted","constructor":"c","toString":"t"}}',
  );
  serve(state, body);
  const { digest } = await copy(state, 'oci:out:x', { preserveDigests: true });
  equal(digest, digestOf(body));
  equal(({} as Record<string, unknown>).polluted, undefined);
  equal(readFileSync(join(state.directory, 'out/blobs/sha256', digest.slice(7)), 'utf8'), body);
});

test('100,000 layers end in time', async (state) => {
  const image = await parts(state);
  const layers = Array.from({ length: 100_000 }, () => image.layers[0]);
  serve(state, JSON.stringify({ ...image, layers }));
  await refused(state);
});

test('M10: a table of contents that lies decides nothing: the whole stream does', async (state) => {
  const { registry, directory } = state;
  const plain = SMALL_LAYERS[0] as Buffer;
  const packed = zstdCompressSync(plain);
  const image = await parts(state);
  const layer = {
    mediaType: `${MEDIA_TYPE.ociLayer}+zstd`,
    digest: await seedBlob(registry, 'app', packed),
    size: packed.length,
    annotations: {
      'io.github.containers.zstd-chunked.manifest-checksum': digestOf('lie'),
      'io.github.containers.zstd-chunked.manifest-position': '9999999999:5:999999999999:1',
    },
  };
  serve(state, JSON.stringify({ ...image, layers: [layer] }));
  await copy(state, 'docker-archive:out.tar:app:1');
  equal(readFileSync(join(directory, 'out.tar')).includes(plain), true);
});

test('a decompression bomb ends at what the config says, not at the disk', async (state) => {
  const { registry } = state;
  const image = await parts(state);
  const bomb = gzipSync(Buffer.alloc(100_000_000));
  const layer = {
    mediaType: `${MEDIA_TYPE.ociLayer}+gzip`,
    digest: await seedBlob(registry, 'app', bomb),
    size: bomb.length,
  };
  serve(state, JSON.stringify({ ...image, layers: [layer] }));
  await rejects(copy(state, 'docker-archive:out.tar:app:1'), { code: 'digest-mismatch' });
  equal(existsSync(join(state.directory, 'out.tar')), false);
});

test.run();
