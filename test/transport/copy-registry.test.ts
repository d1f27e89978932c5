import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
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
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { openBlobCache } from '../../transport/blob-cache.ts';
import type { TransportContext } from '../../transport/contract.ts';
import { type CopyOptions, copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import { withRetries } from '../../transport/retry.ts';
import { ANYTHING, contextFor, putImage, writeIndexLayout, writeLayout } from '../support/layout.ts';
import {
  seedBlob,
  seedImage,
  seedManifest,
  startTestRegistry,
  type TestRegistry,
} from '../support/registry.ts';

const test = suite<{ directory: string; registry: TestRegistry; context: TransportContext }>(
  'copy with a registry',
);
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'copy-registry-'));
  state.registry = await startTestRegistry();
  const docker = {
    environment: { HOME: state.directory },
    tlsVerify: false,
    requestRetries: 0,
    retryDelayMs: 1,
    stallTimeoutMs: 500,
  };
  state.context = contextFor(state.directory, { docker });
});
test.after.each(async ({ directory, registry }) => {
  await registry[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

async function openUpload({ url }: TestRegistry, repository: string): Promise<string> {
  const { headers } = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  return (headers.get('location') as string).replace(/^.*\//, '');
}

async function copy(
  state: { directory: string; context: TransportContext },
  from: string,
  to: string,
  options: Partial<CopyOptions> = {},
) {
  const parse = (text: string) => parseImageReference(text, { workingDirectory: state.directory });
  return copyImage(ANYTHING, await parse(from), await parse(to), {
    source: state.context,
    destination: state.context,
    ...options,
  });
}

test('blobs move once: present ones stay, sibling repositories are mounted', async (state) => {
  const { directory, registry } = state;
  const image = writeLayout(join(directory, 'a'), 'x');
  const at = (name: string) => `docker://${registry.address}/${name}`;
  const first = await copy(state, 'oci:a:x', at('one:1'));
  deepEqual([first.digest, first.counts.moved], [image.digest, 3]);
  deepEqual((await copy(state, 'oci:a:x', at('one:2'))).counts.present, 3);
  registry.faults.clear();
  const sibling = await copy(state, at('one:1'), at('two:1'));
  equal(sibling.counts.mounted, 3);
  deepEqual(registry.faults.requests(/blobs/).length, 3, 'one request for each blob');
  equal(registry.faults.requests(/^POST .*mount=/).length, 3);
});

test('a blob that cannot be mounted moves, into the session that the refusal opened', async (state) => {
  const { registry } = state;
  const image = await seedImage(
    registry,
    'one',
    '1',
    [gzipSync('a'), gzipSync('b')],
    MEDIA_TYPE.ociLayerGzip,
  );
  const at = (name: string) => `docker://${registry.address}/${name}`;
  const digest = image.layers[1]!.digest.slice('sha256:'.length);
  const location = `/v2/two/blobs/uploads/${await openUpload(registry, 'two')}`;
  registry.faults.clear();
  registry.faults.add({
    method: 'POST',
    url: new RegExp(`mount=.*${digest}`),
    status: 202,
    headers: { location },
  });
  const { counts } = await copy(state, at('one:1'), at('two:1'));
  deepEqual([counts.mounted, counts.moved], [2, 1]);
  equal(registry.faults.requests(/^POST/).length, 3);
  deepEqual(registry.faults.requests(/^GET .*uploads/), [], 'nobody asks what a new session has');
});

test('a registry that says it mounted what it did not gets the bytes', async (state) => {
  const { registry } = state;
  const image = await seedImage(registry, 'one', '1');
  const at = (name: string) => `docker://${registry.address}/${name}`;
  registry.faults.clear();
  registry.faults.add({ method: 'POST', url: /mount=/, status: 201 });
  const copied = await copy(state, at('one:1'), at('two:1'), { preserveDigests: true });
  equal(copied.digest, image.digest);
  equal(registry.faults.requests(/^PUT .*uploads/).length, 3);
});

test('M11: the cache finds mounts and compressed forms again, and learns nothing from a failure', async (state) => {
  const { directory, registry } = state;
  writeLayout(join(directory, 'plain'), 'x', { compression: 'none' });
  const path = join(directory, 'cache/blobs.json');
  const at = (name: string) => `docker://${registry.address}/${name}`;
  registry.faults.add({ method: 'PUT', url: /uploads/, status: 500 });
  await rejects(copy(state, 'oci:plain:x', at('one:1'), { blobCache: await openBlobCache(path) }));
  equal(existsSync(path), false);
  registry.faults.clear();
  await copy(state, 'oci:plain:x', at('one:1'), { blobCache: await openBlobCache(path) });
  const again = await copy(state, 'oci:plain:x', at('two:1'), { blobCache: await openBlobCache(path) });
  equal(again.counts.mounted, 2, 'layers are not compressed again');
});

test('referrers and cosign tags go along', async (state) => {
  const { registry } = state;
  const image = await seedImage(registry, 'app', '1');
  const subject = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: image.digest, size: 1 };
  const empty = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: await seedBlob(registry, 'app', '{}'),
    size: 2,
  };
  const sbom = {
    schemaVersion: 2,
    mediaType: subject.mediaType,
    artifactType: 'application/spdx+json',
    config: empty,
    layers: [empty],
    subject,
  };
  await seedManifest(registry, 'app', 'sbom', sbom);
  await seedImage(registry, 'app', `${image.digest.replace(':', '-')}.sig`, ['signature']);
  const to = `docker://${registry.address}/mirror:1`;
  deepEqual((await copy(state, `docker://${registry.address}/app:1`, to, { referrers: {} })).referrers, {
    copied: 2,
    present: 0,
    unsupported: 0,
  });
  const listed = (await (await fetch(`${registry.url}/v2/mirror/referrers/${image.digest}`)).json()) as {
    manifests: object[];
  };
  equal(listed.manifests.length, 1);
  equal(
    (await fetch(`${registry.url}/v2/mirror/manifests/${image.digest.replace(':', '-')}.sig`)).status,
    200,
  );
  const layout = await copy(state, `docker://${registry.address}/app:1`, 'oci:out:x', {
    referrers: { artifactTypes: ['application/spdx+json'] },
  });
  deepEqual(layout.referrers, { copied: 0, present: 0, unsupported: 1 }, 'compressed: another digest');
  const kept = await copy(state, `docker://${registry.address}/app:1`, 'oci:same:x', {
    preserveDigests: true,
    referrers: { artifactTypes: ['application/spdx+json'] },
  });
  deepEqual(kept.referrers, { copied: 1, present: 0, unsupported: 0 });
});

test('M03: a digest that is asked for is the one that comes, for images and instances', async (state) => {
  const { directory, registry } = state;
  const index = writeIndexLayout(join(directory, 'a'), 'x', [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
  ]);
  await copy(state, 'oci:a:x', `docker://${registry.address}/app:1`, { select: 'all' });
  const other = putImage(join(directory, 'b'));
  const reply = {
    status: 200,
    headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
    body: other.manifest,
  };
  registry.faults.add({ method: 'GET', url: `/app/manifests/${index.images[0]!.digest}`, ...reply });
  await rejects(copy(state, `docker://${registry.address}/app@${index.images[0]!.digest}`, 'dir:c'), {
    code: 'digest-mismatch',
  });
  await rejects(copy(state, `docker://${registry.address}/app:1`, 'dir:d', { select: 'all' }), {
    code: 'digest-mismatch',
  });
  await rejects(copy(state, 'oci:b:x', `docker://${registry.address}/app@${index.digest}`), /./);
});

test('bodies that are cut, changed, too long or stalled never become an image', async (state) => {
  const { directory, registry } = state;
  const layer = Buffer.alloc(200_000, 'x');
  await seedImage(registry, 'app', '1', [layer]);
  const faults = [
    { cutAt: 0 },
    { cutAt: 1000 },
    { corruptAt: 5 },
    { corruptAt: 199_999 },
    { stallAt: 100 },
    { status: 200, body: '<html>login</html>' },
    { status: 200, body: Buffer.alloc(200_001, 'x') },
    { status: 404 },
    { status: 500 },
  ];
  for (const [at, fault] of faults.entries()) {
    registry.faults.clear();
    registry.faults.add({
      method: 'GET',
      url: /blobs\/sha256/,
      skip: 1,
      ...fault,
    });
    for (const to of [`oci:out${at}:x`, `oci-archive:out${at}.tar`])
      await rejects(copy(state, `docker://${registry.address}/app:1`, to), Error, JSON.stringify(fault));
    equal(existsSync(join(directory, `out${at}/index.json`)), false);
    equal(existsSync(join(directory, `out${at}.tar`)), false);
  }
  equal(
    readdirSync(directory).some((name) => name.includes('.tmp-') || name.startsWith('slipway-')),
    false,
  );
  registry.faults.clear();
  registry.faults.add({ method: 'GET', url: /blobs\/sha256/, skip: 1, cutAt: 199_999 });
  const resumed = await copy(state, `docker://${registry.address}/app:1`, 'oci:fine:x');
  equal(resumed.counts.moved, 2, 'the last byte is asked for by range');
});

test('a temporary failure is tried again as a whole where asked for, and goes on with what is there', async (state) => {
  const { registry } = state;
  await seedImage(registry, 'app', '1', ['one', 'two']);
  registry.faults.add({ method: 'GET', url: '/app/manifests/1', status: 500, times: 2 });
  const tries: string[] = [];
  const result = await withRetries(
    'copy',
    () => copy(state, `docker://${registry.address}/app:1`, 'oci:b:x'),
    {
      times: 2,
      delayMs: 1,
      onProgress: (event) => event.type === 'retried' && tries.push(event.reason),
    },
  );
  deepEqual([result.counts.moved, tries.length], [3, 2]);
  registry.faults.add({ method: 'GET', url: '/app/manifests/1', status: 403 });
  await rejects(
    withRetries('copy', () => copy(state, `docker://${registry.address}/app:1`, 'oci:c:x'), {
      times: 5,
      delayMs: 1,
    }),
    { code: 'denied' },
  );
});

test('a copy to a layout that was killed goes on where it stopped', async (state) => {
  const { directory, registry } = state;
  const layer = gzipSync(randomBytes(3_000_000));
  const image = await seedImage(registry, 'app', '1', [layer], MEDIA_TYPE.ociLayerGzip);
  const [{ digest } = { digest: '' }] = image.layers;
  mkdirSync(join(directory, 'out'), { recursive: true });
  const dead = spawnSync('true').pid;
  const partial = join(directory, `out/.oci-put-blob-${dead}-${digest.slice(7)}-0011`);
  for (const [bytes, moved] of [
    [layer.subarray(0, 2_000_000), 1],
    [Buffer.alloc(2_000_000, 7), 0],
  ] as const) {
    rmSync(join(directory, 'out/blobs'), { recursive: true, force: true });
    writeFileSync(partial, bytes);
    registry.faults.clear();
    const run = copy(state, `docker://${registry.address}/app:1`, 'oci:out:x');
    if (moved) equal((await run).digest, image.digest);
    else await rejects(run, { code: 'digest-mismatch' });
    const ranges = registry.faults.log.map(({ headers }) => headers.range).filter(Boolean);
    deepEqual(ranges, ['bytes=2000000-']);
    equal(existsSync(partial), false);
    await copy(state, `docker://${registry.address}/app:1`, 'oci:out:x');
  }
});

test('an upload whose session is lost far behind reads its layer from the source once more', async (state) => {
  const { registry, directory } = state;
  const layer = randomBytes(20_000_000);
  writeLayout(join(directory, 'a'), 'x', { layers: [layer], compression: 'none' });
  registry.faults.add(
    { method: 'PUT', url: digestOf(layer).slice(7), cutRequestAt: 15_000_000, times: 1 },
    { method: 'GET', url: 'blobs/uploads/', status: 404, times: 1 },
  );
  const retries: string[] = [];
  const result = await copy(state, 'oci:a:x', `docker://${registry.address}/app:1`, {
    preserveDigests: true,
    onProgress: (event) => event.type === 'retried' && retries.push(event.what),
  });
  equal((await fetch(`${registry.url}/v2/app/manifests/1`)).status, 200);
  deepEqual(retries, [`blob ${digestOf(layer)}`]);
  equal(result.counts.moved, 2);
});

test('the config goes while the layers do, and is told of behind them', async (state) => {
  const { registry, directory } = state;
  const image = writeLayout(join(directory, 'a'), 'x', { compression: 'none' });
  registry.faults.add({ method: 'PATCH', delayMs: 300 });
  const told: string[] = [];
  const result = await copy(state, 'oci:a:x', `docker://${registry.address}/app:1`, {
    compression: { format: 'gzip' },
    onProgress: (event) => event.type === 'done' && told.push(event.what),
  });
  const sent = registry.faults
    .requests(/^PUT .*uploads/)
    .map((line) => line.includes(image.configDigest.slice(7)));
  deepEqual(sent, [true, ...image.layers.map(() => false)]);
  deepEqual(told, [...image.layers.map(() => 'blob'), 'config']);
  equal(result.counts.moved, image.layers.length + 1);
  equal(registry.faults.requests(/^HEAD/).length, image.layers.length + 1);
});

test('a config that could not go ahead goes behind the layers', async (state) => {
  const { registry, directory } = state;
  const image = writeLayout(join(directory, 'a'), 'x');
  const config = image.configDigest.slice(7);
  registry.faults.add({ method: 'PUT', url: config, status: 500, times: 1 });
  const result = await copy(state, 'oci:a:x', `docker://${registry.address}/app:1`);
  deepEqual([result.digest, result.counts.moved], [image.digest, 3]);
  registry.faults.add({ method: 'PUT', url: config, status: 500 });
  await rejects(copy(state, 'oci:a:x', `docker://${registry.address}/other:1`), { code: 'registry' });
  equal((await fetch(`${registry.url}/v2/other/manifests/1`)).status, 404);
});

test('blobs that a registry says it has and then misses are sent', async (state) => {
  const { registry, directory } = state;
  const image = writeLayout(join(directory, 'a'), 'x');
  const config = readFileSync(join(directory, 'a/blobs/sha256', image.configDigest.slice(7)));
  for (const { digest, size } of [...image.layers, { digest: image.configDigest, size: config.length }])
    registry.faults.add({
      method: 'HEAD',
      url: digest,
      status: 200,
      headers: { 'content-length': String(size) },
    });
  const result = await copy(state, 'oci:a:x', `docker://${registry.address}/app:1`);
  deepEqual([result.digest, result.counts.moved], [image.digest, 3]);
  equal(registry.faults.requests(/PUT .*\/manifests\/1$/).length, 2);
  registry.faults.add({
    method: 'PUT',
    url: /manifests/,
    status: 400,
    body: '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}',
  });
  await rejects(copy(state, 'oci:a:x', `docker://${registry.address}/other:1`), { code: 'registry' });
});

test('a registry that refuses a kind of manifest gets another kind', async (state) => {
  const { directory, registry } = state;
  writeLayout(join(directory, 'a'), 'x');
  registry.faults.add({
    method: 'PUT',
    url: '/app/manifests/1',
    when: (request) => String(request.headers['content-type']).includes('oci'),
    status: 400,
    body: '{"errors":[{"code":"MANIFEST_INVALID","message":"no"}]}',
  });
  const result = await copy(state, 'oci:a:x', `docker://${registry.address}/app:1`);
  equal(result.manifest.mediaType, 'application/vnd.docker.distribution.manifest.v2+json');
  await rejects(
    copy(state, 'oci:a:x', `docker://${registry.address}/app:1`, { preserveDigests: true }),
    /no/,
  );
  ok(result.digest);
});

test.run();
