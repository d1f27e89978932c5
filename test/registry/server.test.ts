import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { seedBlob, seedImage, seedManifest, startTestRegistry } from '../support/registry.ts';

async function startUpload(url: string, repository = 'a/b'): Promise<string> {
  const response = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  assert.equal(response.status, 202);
  return url + response.headers.get('location');
}

async function code(response: Response): Promise<string> {
  return ((await response.json()) as { errors: { code: string }[] }).errors[0]!.code;
}

test('pushes in chunks, reports the offset, refuses gaps, and publishes only whole blobs', async () => {
  await using registry = await startTestRegistry();
  const upload = await startUpload(registry.url);
  const patch = (body: string, range: string) =>
    fetch(upload, { method: 'PATCH', body, headers: { 'content-range': range } });
  const first = await patch('hello ', '0-5');
  assert.deepEqual([first.status, first.headers.get('range')], [202, '0-5']);
  const gap = await patch('world', '8-12');
  assert.deepEqual([gap.status, gap.headers.get('range')], [416, '0-5']);
  const status = await fetch(upload);
  assert.deepEqual([status.status, status.headers.get('range')], [204, '0-5']);
  const digest = digestOf('hello world');
  const blob = `${registry.url}/v2/a/b/blobs/${digest}`;
  assert.equal((await fetch(blob)).status, 404);
  const put = await fetch(`${upload}?digest=${digest}`, { method: 'PUT', body: 'world' });
  assert.deepEqual([put.status, put.headers.get('location')], [201, `/v2/a/b/blobs/${digest}`]);
  assert.equal(await (await fetch(blob)).text(), 'hello world');
  assert.equal((await fetch(`${registry.url}/v2/other/blobs/${digest}`)).status, 404);
  assert.equal((await fetch(upload)).status, 404);
});

test('an upload survives a dropped connection and a restart of the registry', async () => {
  await using first = await startTestRegistry();
  const upload = new URL(await startUpload(first.url));
  await new Promise<void>((resolve) => {
    const sending = request(upload, { method: 'PATCH', headers: { 'content-length': '100' } });
    sending.on('error', () => resolve());
    sending.write('0123456789', () => setTimeout(() => sending.destroy(), 50));
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal((await fetch(upload)).headers.get('range'), '0-9');
  await using second = await startTestRegistry({ directory: first.directory });
  const again = `${second.url}${upload.pathname}`;
  assert.equal((await fetch(again)).headers.get('range'), '0-9');
  const digest = digestOf('0123456789ab');
  const put = await fetch(`${again}?digest=${digest}`, { method: 'PUT', body: 'ab' });
  assert.equal(put.status, 201);
});

test('a client that comes again is not held up by its dead connection', async () => {
  await using registry = await startTestRegistry();
  const upload = new URL(await startUpload(registry.url));
  const hanging = request(upload, { method: 'PATCH', headers: { 'content-length': '100' } });
  const ended = new Promise((resolve) => hanging.on('error', resolve));
  hanging.write('0123456789');
  await new Promise((resolve) => setTimeout(resolve, 100));
  await fetch(upload);
  const again = await fetch(upload, { method: 'PATCH', body: 'ab' });
  assert.deepEqual([again.status, again.headers.get('range')], [202, '0-11']);
  await ended;
  const digest = digestOf('0123456789ab');
  assert.equal((await fetch(`${upload}?digest=${digest}`, { method: 'PUT' })).status, 201);
});

test('two processes may serve one directory', async () => {
  await using first = await startTestRegistry();
  await using second = await startTestRegistry({ directory: first.directory });
  const { pathname } = new URL(await startUpload(first.url));
  const patch = (url: string, body: string) => fetch(url + pathname, { method: 'PATCH', body });
  await patch(first.url, 'one ');
  await patch(second.url, 'two ');
  await patch(first.url, 'three');
  const digest = digestOf('one two three');
  const put = await fetch(`${second.url}${pathname}?digest=${digest}`, { method: 'PUT' });
  assert.equal(put.status, 201);
});

test('a wrong digest discards the upload', async () => {
  await using registry = await startTestRegistry();
  const upload = await startUpload(registry.url);
  const put = await fetch(`${upload}?digest=${digestOf('other')}`, { method: 'PUT', body: 'bytes' });
  assert.deepEqual([put.status, await code(put)], [400, 'DIGEST_INVALID']);
  assert.equal((await fetch(upload)).status, 404);
});

for (const algorithm of ['sha256', 'sha384', 'sha512'] as const)
  test(`takes blobs and manifests under ${algorithm}`, async () => {
    await using registry = await startTestRegistry();
    const digest = digestOf('{}', algorithm);
    const put = await fetch(`${registry.url}/v2/a/blobs/uploads/?digest=${digest}`, {
      method: 'POST',
      body: '{}',
    });
    assert.equal(put.status, 201);
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociEmpty, digest, size: 2 },
      layers: [],
    });
    await seedManifest(registry, 'a', digestOf(manifest, algorithm), manifest);
    const got = await fetch(`${registry.url}/v2/a/manifests/${digestOf(manifest, algorithm)}`);
    assert.equal(await got.text(), manifest);
  });

test('mounts from a repository that has the blob, else starts an upload', async () => {
  await using registry = await startTestRegistry();
  const digest = await seedBlob(registry, 'from', 'bytes');
  const mount = (from: string) =>
    fetch(`${registry.url}/v2/to/blobs/uploads/?mount=${digest}&from=${from}`, { method: 'POST' });
  assert.equal((await mount('nobody')).status, 202);
  assert.equal((await mount('from')).status, 201);
  const head = await fetch(`${registry.url}/v2/to/blobs/${digest}`, { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, '5']);
});

for (const [range, status, text, contentRange] of [
  ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
  ['bytes=7-', 206, '789', 'bytes 7-9/10'],
  ['bytes=-2', 206, '89', 'bytes 8-9/10'],
  ['bytes=8-99', 206, '89', 'bytes 8-9/10'],
  ['bytes=10-', 416, undefined, 'bytes */10'],
  ['bytes=1-2,4-5', 200, '0123456789', null],
  ['lines=1-2', 200, '0123456789', null],
] as const)
  test(`range ${range}`, async () => {
    await using registry = await startTestRegistry();
    const digest = await seedBlob(registry, 'a', '0123456789');
    const response = await fetch(`${registry.url}/v2/a/blobs/${digest}`, { headers: { range } });
    assert.deepEqual([response.status, response.headers.get('content-range')], [status, contentRange]);
    if (text !== undefined) assert.equal(await response.text(), text);
  });

test('lists tags and repositories in pages', async () => {
  await using registry = await startTestRegistry();
  for (const tag of ['b', 'a', 'c']) await seedImage(registry, 'z/deep/name', tag);
  await seedImage(registry, 'alone', 'x');
  const list = async (path: string) => {
    const response = await fetch(registry.url + path);
    return [await response.json(), response.headers.get('link')];
  };
  assert.deepEqual(await list('/v2/z/deep/name/tags/list'), [
    { name: 'z/deep/name', tags: ['a', 'b', 'c'] },
    null,
  ]);
  assert.deepEqual(await list('/v2/z/deep/name/tags/list?n=2'), [
    { name: 'z/deep/name', tags: ['a', 'b'] },
    '</v2/z/deep/name/tags/list?n=2&last=b>; rel="next"',
  ]);
  assert.deepEqual(await list('/v2/z/deep/name/tags/list?n=2&last=b'), [
    { name: 'z/deep/name', tags: ['c'] },
    null,
  ]);
  assert.deepEqual(await list('/v2/_catalog'), [{ repositories: ['alone', 'z/deep/name'] }, null]);
  assert.equal((await fetch(`${registry.url}/v2/nothing/tags/list`)).status, 404);
});

test('deletes a tag alone, and a manifest with its tags', async () => {
  await using registry = await startTestRegistry();
  const { digest } = await seedImage(registry, 'a', 'one');
  await seedImage(registry, 'a', 'two');
  const at = (reference: string) => `${registry.url}/v2/a/manifests/${reference}`;
  assert.equal((await fetch(at('one'), { method: 'DELETE' })).status, 202);
  assert.equal((await fetch(at('one'))).status, 404);
  assert.equal((await fetch(at('two'))).status, 200);
  assert.equal((await fetch(at(digest), { method: 'DELETE' })).status, 202);
  assert.equal((await fetch(at('two'))).status, 404);
  assert.equal((await fetch(at(digest))).status, 404);
});

test('one push by digest sets several tags', async () => {
  await using registry = await startTestRegistry();
  const index = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] });
  const put = (query: string) =>
    fetch(`${registry.url}/v2/a/manifests/${digestOf(index)}?${query}`, {
      method: 'PUT',
      headers: { 'content-type': MEDIA_TYPE.ociIndex },
      body: index,
    });
  assert.equal((await put('tag=../x')).status, 400);
  const response = await put('tag=one&tag=two');
  assert.deepEqual([response.status, response.headers.get('oci-tag')], [201, 'one, two']);
  const list = await fetch(`${registry.url}/v2/a/tags/list`);
  assert.deepEqual(await list.json(), { name: 'a', tags: ['one', 'two'] });
});

test('lists referrers by subject and artifact type', async () => {
  await using registry = await startTestRegistry();
  const subject = await seedImage(registry, 'a', 'image');
  const empty = await seedBlob(registry, 'a', '{}');
  const attach = (artifactType: string) =>
    seedManifest(registry, 'a', artifactType.replaceAll('/', '.'), {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      artifactType,
      config: { mediaType: MEDIA_TYPE.ociEmpty, digest: empty, size: 2 },
      layers: [],
      subject: { mediaType: MEDIA_TYPE.ociManifest, digest: subject.digest, size: 1 },
      annotations: { about: artifactType },
    });
  const sbom = await attach('text/sbom');
  await attach('text/signature');
  const list = async (query = '') => {
    const response = await fetch(`${registry.url}/v2/a/referrers/${subject.digest}${query}`);
    assert.equal(response.headers.get('content-type'), MEDIA_TYPE.ociIndex);
    const { manifests } = (await response.json()) as { manifests: { artifactType: string }[] };
    return { manifests, applied: response.headers.get('oci-filters-applied') };
  };
  assert.equal((await list()).manifests.length, 2);
  const filtered = await list('?artifactType=text/sbom');
  assert.deepEqual(filtered, {
    manifests: [
      {
        mediaType: MEDIA_TYPE.ociManifest,
        digest: sbom.digest,
        size: sbom.bytes.length,
        artifactType: 'text/sbom',
        annotations: { about: 'text/sbom' },
      },
    ],
    applied: 'artifactType',
  });
  await fetch(`${registry.url}/v2/a/manifests/${sbom.digest}`, { method: 'DELETE' });
  assert.equal((await list()).manifests.length, 1);
});

const CONFIG = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf('nowhere'), size: 7 };
for (const [name, body, contentType, expected] of [
  [
    'missing blob',
    { schemaVersion: 2, config: CONFIG, layers: [] },
    MEDIA_TYPE.ociManifest,
    'MANIFEST_BLOB_UNKNOWN',
  ],
  ['not JSON', 'hello', MEDIA_TYPE.ociManifest, 'MANIFEST_INVALID'],
  ['duplicate key', '{"schemaVersion":2,"schemaVersion":2}', MEDIA_TYPE.ociManifest, 'MANIFEST_INVALID'],
  [
    'CVE-2021-41190 image and index at once',
    { schemaVersion: 2, config: CONFIG, layers: [], manifests: [] },
    MEDIA_TYPE.ociManifest,
    'MANIFEST_INVALID',
  ],
  [
    'Content-Type against mediaType',
    { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] },
    MEDIA_TYPE.ociManifest,
    'MANIFEST_INVALID',
  ],
  ['over 4 MiB', 'x'.repeat(4 * 1024 * 1024 + 1), MEDIA_TYPE.ociManifest, 'SIZE_INVALID'],
] as const)
  test(`refuses a manifest: ${name}`, async () => {
    await using registry = await startTestRegistry();
    const response = await fetch(`${registry.url}/v2/a/manifests/t`, {
      method: 'PUT',
      headers: { 'content-type': contentType },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    assert.ok(response.status >= 400 && response.status < 500);
    assert.equal(await code(response), expected);
  });

for (const path of [
  '/v2/a/blobs/sha256:../../../../etc/passwd',
  '/v2/a/blobs/sha256:ABCDEF',
  '/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e',
  '/v2/..%2f..%2fetc/manifests/x',
  '/v2/a/_tags/manifests/x',
  '/v2/A/manifests/x',
  '/v2/a/manifests/..%2f..%2fx',
  '/v2/a/blobs/uploads/..%2f..%2f',
  '/v2/%ff/tags/list',
  '/v3/',
])
  test(`M01 refuses the path ${path}`, async () => {
    await using registry = await startTestRegistry();
    const response = await fetch(registry.url + path, { redirect: 'manual' });
    assert.ok([400, 404].includes(response.status), String(response.status));
  });

test('concurrent pushes of the same blob and tag all succeed', async () => {
  await using registry = await startTestRegistry();
  const big = Buffer.alloc(1_000_000, 7);
  const pushed = await Promise.all(Array.from({ length: 12 }, () => seedImage(registry, 'a', 't', [big])));
  assert.equal(new Set(pushed.map(({ digest }) => digest)).size, 1);
  const got = await fetch(`${registry.url}/v2/a/blobs/${digestOf(big)}`);
  assert.equal(digestOf(Buffer.from(await got.arrayBuffer())), digestOf(big));
});

test('read-only refuses every change', async () => {
  await using writable = await startTestRegistry();
  await seedImage(writable, 'a', 't');
  await using registry = await startTestRegistry({ directory: writable.directory, readOnly: true });
  assert.equal((await fetch(`${registry.url}/v2/a/manifests/t`)).status, 200);
  for (const [method, path] of [
    ['POST', '/v2/a/blobs/uploads/'],
    ['PUT', '/v2/a/manifests/t'],
    ['DELETE', '/v2/a/manifests/t'],
  ])
    assert.equal((await fetch(registry.url + path, { method: method! })).status, 405);
});

test('garbage collection removes stale uploads and blobs that nobody holds, nothing else', async () => {
  await using registry = await startTestRegistry();
  const { digest } = await seedImage(registry, 'a', 't');
  const orphan = await seedBlob(registry, 'a', 'orphan');
  await fetch(`${registry.url}/v2/a/blobs/${orphan}`, { method: 'DELETE' });
  const upload = await startUpload(registry.url);
  assert.deepEqual(await registry.collectGarbage(), { uploads: 0, blobs: 0, bytes: 0 });
  assert.deepEqual(await registry.collectGarbage({ ageMs: -1000 }), { uploads: 1, blobs: 1, bytes: 6 });
  assert.equal((await fetch(upload)).status, 404);
  assert.equal((await fetch(`${registry.url}/v2/a/manifests/${digest}`)).status, 200);
});

test.run();
