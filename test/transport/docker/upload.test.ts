import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { MEDIA_TYPE } from '../../../image/media-type.ts';
import type { ImageDestination, ResumableDestination } from '../../../transport/contract.ts';
import { parse } from '../../../transport/docker/reference.ts';
import { TransportError } from '../../../transport/error.ts';
import { dockerContext } from '../../support/docker-context.ts';
import type { Fault } from '../../support/faults.ts';
import { seedBlob, startTestRegistry, type TestRegistry } from '../../support/registry.ts';

const BYTES = randomBytes(6_000_000);
const DIGEST = digestOf(BYTES);
const LAYER = { mediaType: MEDIA_TYPE.ociLayer, digest: DIGEST, size: BYTES.length };

function pieces(bytes: Buffer, from = 0): Readable {
  const list: Buffer[] = [];
  for (let at = from; at < bytes.length; at += 65_536) list.push(bytes.subarray(at, at + 65_536));
  return Readable.from(list, { objectMode: false });
}

async function open(registry: TestRegistry, access = {}): Promise<ImageDestination & ResumableDestination> {
  const reference = parse(`//${registry.address}/a/b:t`);
  return (await reference.openDestination(dockerContext(access))) as ImageDestination & ResumableDestination;
}

async function stored(registry: TestRegistry): Promise<string> {
  const response = await fetch(`${registry.url}/v2/a/b/blobs/${DIGEST}`);
  return response.ok ? digestOf(Buffer.from(await response.arrayBuffer())) : `status ${response.status}`;
}

for (const known of [true, false])
  for (const [name, fault] of [
    ['nothing happens', { method: 'GET', url: /never/ }],
    [
      'the connection is cut in the body',
      { method: known ? 'PUT' : 'PATCH', cutRequestAt: 3_000_000, times: 1 },
    ],
    ['it is cut three times', { method: 'PATCH', cutRequestAt: 1_000_000, times: 3 }],
    ['it is cut at the first byte', { method: known ? 'PUT' : 'PATCH', cutRequestAt: 0, times: 1 }],
    ['the start is refused with 503', { method: 'POST', status: 503, times: 2 }],
    ['the end is refused with 500', { method: 'PUT', status: 500, times: 1 }],
    ['the start is rate limited', { method: 'POST', status: 429, headers: { 'retry-after': '0' }, times: 3 }],
  ] as const satisfies readonly (readonly [string, Fault])[])
    test(`a blob of ${known ? 'known' : 'unknown'} digest arrives when ${name}`, async () => {
      await using registry = await startTestRegistry();
      registry.faults.add(fault);
      await using destination = await open(registry);
      const descriptor = known ? LAYER : { mediaType: LAYER.mediaType };
      const put = await destination.putBlob({ stream: pieces(BYTES) }, descriptor, { isConfig: false });
      assert.deepEqual(put, { digest: DIGEST, size: BYTES.length });
      assert.equal(await stored(registry), DIGEST);
    });

test('a token that expires while the body is sent is renewed, and the upload goes on', async () => {
  const { parseUsers } = await import('../../../registry/users.ts');
  await using registry = await startTestRegistry({ auth: { kind: 'bearer', users: parseUsers('a:b') } });
  registry.faults.add({
    method: 'PUT',
    url: 'uploads/',
    status: 401,
    times: 1,
    headers: {
      'www-authenticate': `Bearer realm="${registry.url}/token",service="slipway",error="invalid_token"`,
    },
  });
  registry.faults.add({
    method: 'GET',
    url: 'uploads/',
    status: 401,
    times: 1,
    headers: {
      'www-authenticate': `Bearer realm="${registry.url}/token",service="slipway",error="invalid_token"`,
    },
  });
  await using destination = await open(registry, { credentials: { username: 'a', password: 'b' } });
  const put = await destination.putBlob({ stream: pieces(BYTES) }, LAYER, { isConfig: false });
  assert.deepEqual(put, { digest: DIGEST, size: BYTES.length });
  assert.equal(registry.faults.requests(/token/).length, 2);
});

test('after a cut only what the registry lacks is sent again', async () => {
  await using registry = await startTestRegistry();
  registry.faults.add({ method: 'PUT', cutRequestAt: 4_000_000, times: 1 });
  await using destination = await open(registry);
  await destination.putBlob({ stream: pieces(BYTES) }, LAYER, { isConfig: false });
  const patch = registry.faults.log.find(({ method }) => method === 'PATCH');
  assert.match(patch?.headers['content-range'] ?? '', /^\d+-5999999$/);
  const start = Number.parseInt(patch?.headers['content-range'] ?? '0', 10);
  assert.ok(start > 3_000_000 && start <= 4_000_000, String(start));
});

for (const [name, location, works] of [
  ['relative', (path: string) => path, true],
  ['absolute', (path: string, url: string) => url + path, true],
  ['missing', () => undefined, false],
  ['malformed', () => 'http://[', false],
  ['of another scheme', () => 'file:///etc/passwd', false],
] as const)
  test(`an upload whose Location is ${name} ${works ? 'works' : 'is one clear error'}`, async () => {
    await using registry = await startTestRegistry();
    const response = await fetch(`${registry.url}/v2/a/b/blobs/uploads/`, { method: 'POST' });
    const path = new URL(response.headers.get('location') as string, registry.url).pathname;
    registry.faults.add({
      method: 'POST',
      url: 'uploads/',
      setHeaders: { location: location(path, registry.url) },
    });
    await using destination = await open(registry, { requestRetries: 0 });
    const put = destination.putBlob({ stream: pieces(BYTES) }, LAYER, { isConfig: false });
    if (works) assert.deepEqual(await put, { digest: DIGEST, size: BYTES.length });
    else await assert.rejects(put, { message: /^[^\n]+$/, name: 'TransportError' });
    assert.equal(await stored(registry), works ? DIGEST : 'status 404');
  });

test('wrong bytes are a digest mismatch and do not become visible', async () => {
  await using registry = await startTestRegistry();
  await using destination = await open(registry);
  const other = Buffer.from(BYTES);
  other[0] = other[0]! ^ 1;
  await assert.rejects(destination.putBlob({ stream: pieces(other) }, LAYER, { isConfig: false }), {
    code: 'digest-mismatch',
  });
  assert.equal(await stored(registry), 'status 404');
});

for (const reason of [
  new Error('the source broke'),
  new TransportError('network', 'the source broke, and may be tried again', { retryable: true }),
])
  test(`a source that fails ends the upload with its own error: ${reason.message}`, async () => {
    await using registry = await startTestRegistry();
    await using destination = await open(registry);
    async function* broken() {
      yield BYTES.subarray(0, 100_000);
      throw reason;
    }
    await assert.rejects(
      destination.putBlob({ stream: Readable.from(broken()) }, LAYER, { isConfig: false }),
      reason,
    );
    assert.equal(await stored(registry), 'status 404');
  });

test('a refusal while the body is sent is told at once', async () => {
  await using registry = await startTestRegistry();
  registry.faults.add({
    method: 'PUT',
    status: 413,
    body: '{"errors":[{"code":"SIZE_INVALID","message":"too big"}]}',
  });
  await using destination = await open(registry);
  await assert.rejects(destination.putBlob({ stream: pieces(BYTES) }, LAYER, { isConfig: false }), {
    code: 'registry',
    message: /size invalid: too big/,
  });
});

test('an interrupted upload goes on in the next run by the journal, without moving bytes again', async () => {
  await using registry = await startTestRegistry();
  const journalDirectory = await mkdtemp(join(tmpdir(), 'slipway-journal-'));
  registry.faults.add({ method: 'PUT', cutRequestAt: 5_000_000, times: 1 });
  {
    const controller = new AbortController();
    const first = await open(registry, { journalDirectory, requestRetries: 0 });
    await assert.rejects(
      first.putBlob({ stream: pieces(BYTES) }, LAYER, { isConfig: false, signal: controller.signal }),
    );
  }
  assert.equal((await readdir(join(journalDirectory, 'uploads'))).length, 1);
  await using second = await open(registry, { journalDirectory });
  const offset = await second.uploadedBytes(DIGEST);
  assert.ok(offset > 4_000_000 && offset <= 5_000_000, String(offset));
  await second.putBlob({ stream: pieces(BYTES, offset) }, LAYER, { isConfig: false, offset });
  assert.equal(await stored(registry), DIGEST);
  assert.equal((await readdir(join(journalDirectory, 'uploads'))).length, 0);
  const lengths = registry.faults.log
    .filter(({ method }) => method === 'PATCH')
    .map(({ headers }) => headers['content-length']);
  assert.deepEqual(lengths, [String(BYTES.length - offset)]);
  await rm(journalDirectory, { recursive: true });
});

test('mounts from a candidate of the same registry, and uses the session of a refused mount', async () => {
  await using registry = await startTestRegistry();
  await seedBlob(registry, 'other/place', BYTES);
  await using destination = await open(registry);
  const at = (path: string, domain = registry.address) => ({ domain, path });
  const reuse = (...candidates: { domain: string; path: string }[]) =>
    destination.tryReuseBlob(LAYER, { isConfig: false, candidates });
  assert.equal(await reuse(at('other/place', 'elsewhere.example')), undefined);
  assert.equal(await reuse(at('nobody/here')), undefined);
  registry.faults.log.length = 0;
  await destination.putBlob({ stream: pieces(BYTES) }, LAYER, { isConfig: false });
  assert.deepEqual(registry.faults.requests(/^POST/), []);
  assert.equal((await reuse())?.how, 'present');
});

test('one blob of unknown digest goes into the session of a refused mount, the next into its own', async () => {
  await using registry = await startTestRegistry();
  await using destination = await open(registry);
  const candidates = [{ domain: registry.address, path: 'nobody/here' }];
  await destination.tryReuseBlob(LAYER, { isConfig: false, candidates });
  registry.faults.log.length = 0;
  const unknown = { mediaType: LAYER.mediaType };
  const other = Buffer.from('another blob');
  const put = await Promise.all(
    [BYTES, other].map((bytes) =>
      destination.putBlob({ stream: pieces(bytes) }, unknown, { isConfig: false }),
    ),
  );
  assert.deepEqual(
    put.map(({ digest }) => digest),
    [DIGEST, digestOf(other)],
  );
  assert.equal(await stored(registry), DIGEST);
  assert.equal(registry.faults.requests(/^POST/).length, 1);
  await destination[Symbol.asyncDispose]();
  assert.deepEqual(registry.faults.requests(/^DELETE/), []);
});

test('a mount moves no bytes', async () => {
  await using registry = await startTestRegistry();
  await seedBlob(registry, 'other/place', BYTES);
  await using destination = await open(registry);
  const found = await destination.tryReuseBlob(LAYER, {
    isConfig: false,
    candidates: [{ domain: registry.address, path: 'other/place' }],
  });
  assert.equal(found?.how, 'mounted');
  assert.equal(await stored(registry), DIGEST);
});

test('a blob that is there with another size is refused', async () => {
  await using registry = await startTestRegistry();
  await seedBlob(registry, 'a/b', BYTES);
  await using destination = await open(registry);
  await assert.rejects(destination.tryReuseBlob({ ...LAYER, size: 1 }, { isConfig: false }), {
    code: 'size-mismatch',
  });
});

test('a manifest with a subject gets the fallback tag where the registry has no referrers API', async () => {
  await using registry = await startTestRegistry();
  const subject = digestOf('subject');
  const config = await seedBlob(registry, 'a/b', '{}');
  registry.faults.add({ method: 'PUT', url: 'manifests/', setHeaders: { 'oci-subject': undefined } });
  registry.faults.add({ method: 'GET', url: '/referrers/', status: 404 });
  await using destination = await open(registry);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      artifactType: 'text/x',
      config: { mediaType: MEDIA_TYPE.ociEmpty, digest: config, size: 2 },
      layers: [],
      subject: { mediaType: MEDIA_TYPE.ociManifest, digest: subject, size: 7 },
    }),
  );
  await destination.putManifest(manifest, MEDIA_TYPE.ociManifest);
  await using source = await parse(`//${registry.address}/a/b:t`).openSource(dockerContext());
  const { listsReferrers } = await import('../../../transport/contract.ts');
  assert.ok(listsReferrers(source));
  const found = await source.listReferrers(subject, { artifactType: 'text/x' });
  assert.deepEqual(
    found.map(({ digest }) => digest),
    [digestOf(manifest)],
  );
  assert.deepEqual(await source.listReferrers(subject, { artifactType: 'text/y' }), []);
});

test('a memory of few MiB is enough for a large upload', async () => {
  await using registry = await startTestRegistry();
  await using destination = await open(registry);
  const chunk = Buffer.alloc(1 << 20, 7);
  async function* many() {
    for (let count = 0; count < 300; count += 1) yield chunk;
  }
  const before = process.memoryUsage().rss;
  await destination.putBlob({ stream: Readable.from(many()) }, { mediaType: 'x' }, { isConfig: false });
  assert.ok(process.memoryUsage().rss - before < 120 << 20);
});

test.run();
