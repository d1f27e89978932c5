import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { test } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { MEDIA_TYPE } from '../../../image/media-type.ts';
import { parse } from '../../../transport/docker/reference.ts';
import { dockerContext } from '../../support/docker-context.ts';
import type { Fault } from '../../support/faults.ts';
import { seedImage, seedManifest, startTestRegistry, type TestRegistry } from '../../support/registry.ts';

const LAYER = randomBytes(3_000_000);
const BLOB = { mediaType: MEDIA_TYPE.ociLayer, digest: digestOf(LAYER), size: LAYER.length };

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function pull(registry: TestRegistry, access = {}): Promise<Buffer> {
  await using source = await parse(`//${registry.address}/a:t`).openSource(dockerContext(access));
  return collect((await source.getBlob(BLOB)).stream);
}

async function withImage(...faults: Fault[]): Promise<TestRegistry> {
  const registry = await startTestRegistry();
  await seedImage(registry, 'a', 't', [LAYER]);
  registry.faults.clear();
  registry.faults.add(...faults);
  return registry;
}

const BLOB_GET = { method: 'GET', url: /blobs\/sha256/ };

for (const [name, fault] of [
  ['a reset before the answer', { ...BLOB_GET, reset: true, times: 2 }],
  ['503 with Retry-After', { ...BLOB_GET, status: 503, headers: { 'retry-after': '0' }, times: 2 }],
  ['429 four times', { ...BLOB_GET, status: 429, times: 4 }],
  ['a bare 500', { ...BLOB_GET, status: 500, times: 1 }],
  ['a cut at byte 0', { ...BLOB_GET, cutAt: 0, times: 1 }],
  ['a cut in the middle', { ...BLOB_GET, cutAt: 1_234_567, times: 1 }],
  ['a cut before the last byte', { ...BLOB_GET, cutAt: LAYER.length - 1, times: 1 }],
  ['a stall', { ...BLOB_GET, stallAt: 100_000, times: 1 }],
  ['a slow drip', { ...BLOB_GET, dripMs: 20, times: 1 }],
  ['a 500 of the manifest', { method: 'GET', url: 'manifests', status: 500, times: 2 }],
  ['a 502 of the ping', { url: /\/v2\/$/, status: 502, times: 2 }],
] as const satisfies readonly (readonly [string, Fault])[])
  test(`a pull survives ${name}`, async () => {
    await using registry = await withImage(fault);
    const stalls = 'stallAt' in fault || 'dripMs' in fault;
    assert.equal(digestOf(await pull(registry, stalls ? { stallTimeoutMs: 400 } : {})), BLOB.digest);
  });

test('a download is resumed by Range, without moving bytes again', async () => {
  await using registry = await withImage({ ...BLOB_GET, cutAt: 2_000_000, times: 1 });
  await pull(registry);
  const ranges = registry.faults.log.map(({ headers }) => headers.range).filter(Boolean);
  assert.deepEqual(ranges, ['bytes=2000000-']);
});

for (const [name, ...faults] of [
  ['it breaks again without progress', { ...BLOB_GET, cutAt: 1000, times: 2 }],
  [
    'the server ignores the range',
    { ...BLOB_GET, cutAt: 1000, times: 1 },
    { ...BLOB_GET, status: 200, body: LAYER },
  ],
  ...(
    [
      ['the range is another', 'bytes 0-2999999/3000000'],
      ['the range is short', 'bytes 1000-1999/3000000'],
      ['the range is malformed', 'bytes 1000-'],
      ['there are two ranges', ['bytes 1000-2999999/3000000', 'bytes 1000-2999999/3000000']],
    ] as const
  ).map(
    ([title, range]) =>
      [
        title,
        { ...BLOB_GET, cutAt: 1000, times: 1 },
        { ...BLOB_GET, status: 206, headers: { 'content-range': range }, body: LAYER.subarray(1000) },
      ] as const,
  ),
] as const satisfies readonly (readonly [string, ...Fault[]])[])
  test(`a broken download fails when ${name}`, async () => {
    await using registry = await withImage(...faults);
    await assert.rejects(pull(registry, { requestRetries: 0 }), { retryable: true });
  });

for (const [name, fault, code] of [
  ['404', { url: 'manifests', status: 404 }, 'not-found'],
  ['403', { url: 'manifests', status: 403 }, 'denied'],
  ['429 for ever', { url: 'manifests', status: 429 }, 'rate-limited'],
  ['500 for ever', { url: 'manifests', status: 500 }, 'registry'],
  [
    '401 for ever',
    { url: 'manifests', status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } },
    'unauthorized',
  ],
  [
    'R10 an endless manifest',
    { url: 'manifests', status: 200, body: Buffer.alloc(5_000_000, 0x20) },
    'registry',
  ],
  [
    'a web page',
    { url: 'manifests', status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' },
    'registry',
  ],
  [
    'a redirect loop',
    { url: 'manifests', status: 307, headers: { location: '/v2/a/manifests/t' } },
    'registry',
  ],
  [
    'R05 a redirect to file:',
    { url: 'manifests', status: 302, headers: { location: 'file:///etc/passwd' } },
    'insecure-redirect',
  ],
  ['huge headers', { url: 'manifests', status: 200, headers: { x: 'y'.repeat(100_000) } }, 'network'],
] as const satisfies readonly (readonly [string, Fault, string])[])
  test(`${name} ends in ${code}, with one line`, async () => {
    await using registry = await withImage(fault);
    await assert.rejects(pull(registry), (error: Error & { code: string }) => {
      assert.equal(error.code, code, error.message);
      assert.ok(!error.message.includes('\n') && error.message.length < 600, error.message);
      return true;
    });
  });

test('R13 control characters of a registry do not reach the message', async () => {
  const body = JSON.stringify({ errors: [{ code: 'DENIED', message: 'a\u001b[31mb\r\nc\u202e' }] });
  await using registry = await withImage({ url: 'manifests', status: 403, body });
  await assert.rejects(pull(registry), { message: /denied: a\\u001b\[31mb\\u000d\\u000ac\\u202e$/ });
});

test('M03 a digest is enforced on the manifest itself and on children', async () => {
  await using registry = await withImage();
  const other = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] });
  await seedManifest(registry, 'a', 'other', other, MEDIA_TYPE.ociIndex);
  const wanted = digestOf('wanted');
  registry.faults.add({
    method: 'GET',
    url: `manifests/${wanted}`,
    status: 200,
    headers: { 'content-type': MEDIA_TYPE.ociIndex, 'docker-content-digest': wanted },
    body: other,
  });
  const reference = parse(`//${registry.address}/a@${wanted}`);
  await assert.rejects(reference.openSource(dockerContext()), { code: 'digest-mismatch' });
  await assert.rejects(reference.deleteImage(dockerContext()), { code: 'digest-mismatch' });
  await using source = await parse(`//${registry.address}/a:t`).openSource(dockerContext());
  await assert.rejects(source.getManifest(wanted), { code: 'digest-mismatch' });
  assert.equal(registry.faults.requests(/^DELETE/).length, 0);
});

for (const digest of ['md5:d41d8cd98f00b204e9800998ecf8427e', 'sha256:../../x', 'SHA256:00', ''])
  test(`M01 a blob or manifest of digest ${JSON.stringify(digest)} makes no request`, async () => {
    await using registry = await withImage();
    await using source = await parse(`//${registry.address}/a:t`).openSource(dockerContext());
    registry.faults.log.length = 0;
    await assert.rejects(source.getBlob({ ...BLOB, digest: digest as never }));
    await assert.rejects(source.getManifest(digest as never));
    assert.deepEqual(registry.faults.requests(), []);
  });

test('M04 a lying Docker-Content-Digest changes nothing', async () => {
  await using registry = await withImage({
    method: 'GET',
    url: 'manifests',
    setHeaders: { 'docker-content-digest': digestOf('lie'), etag: '"lie"' },
  });
  await using source = await parse(`//${registry.address}/a:t`).openSource(dockerContext());
  assert.equal((await source.getManifest()).mediaType, MEDIA_TYPE.ociManifest);
  assert.equal((await source.getSignatures()).length, 0);
});

test('a manifest served as text/plain is known by its bytes', async () => {
  await using registry = await withImage({
    method: 'GET',
    url: 'manifests',
    setHeaders: { 'content-type': 'text/plain; charset=utf-8' },
  });
  await using source = await parse(`//${registry.address}/a:t`).openSource(dockerContext());
  assert.equal((await source.getManifest()).mediaType, MEDIA_TYPE.ociManifest);
});

test('an abort ends a pause at once, with its reason', async () => {
  await using registry = await withImage({ ...BLOB_GET, status: 429, headers: { 'retry-after': '30' } });
  const controller = new AbortController();
  const reason = new Error('stop');
  setTimeout(() => controller.abort(reason), 100);
  const started = performance.now();
  await using source = await parse(`//${registry.address}/a:t`).openSource(
    dockerContext({}, { signal: controller.signal }),
  );
  await assert.rejects(source.getBlob(BLOB), reason);
  assert.ok(performance.now() - started < 20_000);
});

test('a connection that nobody answers is one clear line', async () => {
  const { address, close } = await startTestRegistry();
  await close();
  await assert.rejects(parse(`//${address}/a:t`).openSource(dockerContext()), {
    code: 'network',
    message: new RegExp(`pinging container registry ${address}: .*connection refused`),
  });
});

test('R09 tags: pages are followed, loops and other hosts are refused, junk is skipped', async () => {
  await using registry = await startTestRegistry();
  for (const tag of ['a', 'b', 'c']) await seedImage(registry, 'a', tag);
  const { listRepositoryTags } = await import('../../../transport/docker/tags.ts');
  const { named } = parse(`//${registry.address}/a`);
  const list = () => listRepositoryTags(named, dockerContext());
  const answer = (tags: unknown, link?: string, url: string | RegExp = /list$/) => ({
    method: 'GET',
    url,
    status: 200,
    body: JSON.stringify({ tags }),
    ...(link ? { headers: { link } } : {}),
  });
  registry.faults.add(answer(['a'], '</v2/a/tags/list?last=a>; rel="next"'));
  assert.deepEqual(await list(), ['a', 'b', 'c']);
  registry.faults.clear();
  registry.faults.add(answer(['a'], '</v2/a/tags/list>; rel="next"'));
  await assert.rejects(list(), /round in circles/);
  registry.faults.clear();
  registry.faults.add(answer(['a'], '<http://evil.example/v2/a/tags/list?n=2>; rel="next"'));
  await assert.rejects(list(), /on another host/);
  registry.faults.clear();
  registry.faults.add(answer([null, '', digestOf('x'), 'ok']));
  assert.deepEqual(await list(), ['ok']);
  registry.faults.clear();
  registry.faults.add(answer(['../etc']));
  await assert.rejects(list(), /invalid tag/);
});

test('R13 warnings of a registry are told once, quoted', async () => {
  await using registry = await withImage({ setHeaders: { warning: '299 - "going away"' } });
  const warnings: string[] = [];
  await using source = await parse(`//${registry.address}/a:t`).openSource(
    dockerContext({}, { onWarning: (text) => warnings.push(text) }),
  );
  await source.getSignatures();
  assert.deepEqual(warnings, [`Warning from registry ${registry.address}: "going away"`]);
});

test.run();
