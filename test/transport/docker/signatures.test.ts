import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import type { StoredSignature } from '../../../transport/contract.ts';
import { parse } from '../../../transport/docker/reference.ts';
import { dockerContext } from '../../support/docker-context.ts';
import { seedImage, startTestRegistry } from '../../support/registry.ts';

const SIMPLE: StoredSignature = { kind: 'simple', bytes: Buffer.from([0x90, 1, 2, 3]) };
const SIGSTORE: StoredSignature = {
  kind: 'sigstore',
  mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
  payload: Buffer.from('{"critical":{}}'),
  annotations: { 'dev.cosignproject.cosign/signature': 'abc' },
};

async function setUp(attachments: boolean) {
  const home = await mkdtemp(join(tmpdir(), 'slipway-signatures-'));
  const registriesDirectory = join(home, 'registries.d');
  await mkdir(registriesDirectory);
  await writeFile(
    join(registriesDirectory, 'default.yaml'),
    `default-docker:\n  lookaside: file://${home}/store\n  use-sigstore-attachments: ${attachments}\n`,
  );
  const registry = await startTestRegistry();
  const image = await seedImage(registry, 'a/b', 't');
  return {
    registry,
    image,
    store: join(home, 'store'),
    context: dockerContext({ registriesDirectory }),
    reference: parse(`//${registry.address}/a/b:t`),
    [Symbol.asyncDispose]: async () => {
      await registry.close();
      await rm(home, { recursive: true });
    },
  };
}

test('simple signatures go to the lookaside store, and go away with the image', async () => {
  await using place = await setUp(false);
  const { reference, context, image, store } = place;
  {
    await using destination = await reference.openDestination(context);
    assert.deepEqual(destination.signatureKinds, ['simple']);
    await destination.putSignatures([SIMPLE], image.digest);
  }
  await using source = await reference.openSource(context);
  assert.deepEqual(await source.getSignatures(), [SIMPLE]);
  const hex = image.digest.slice('sha256:'.length);
  assert.deepEqual(await readdir(join(store, 'a', `b@sha256=${hex}`)), ['signature-1']);
  await reference.deleteImage(context);
  assert.deepEqual(await readdir(join(store, 'a', `b@sha256=${hex}`)), []);
});

test('sigstore signatures become attachments, each once, where registries.d says so', async () => {
  await using place = await setUp(true);
  const { reference, context, image, registry } = place;
  await using destination = await reference.openDestination(context);
  assert.deepEqual(destination.signatureKinds, ['simple', 'sigstore']);
  const other = { ...SIGSTORE, annotations: { 'dev.cosignproject.cosign/signature': 'other' } };
  await destination.putSignatures([SIGSTORE], image.digest);
  await destination.putSignatures([SIGSTORE, other], image.digest);
  await using source = await reference.openSource(context);
  assert.deepEqual(await source.getSignatures(), [SIGSTORE, other]);
  const tag = `${image.digest.replace(':', '-')}.sig`;
  const response = await fetch(`${registry.url}/v2/a/b/manifests/${tag}`);
  const manifest = (await response.json()) as { layers: object[] };
  assert.equal(manifest.layers.length, 2);
});

test('sigstore signatures are refused where registries.d does not allow attachments', async () => {
  await using place = await setUp(false);
  await using destination = await place.reference.openDestination(place.context);
  await assert.rejects(destination.putSignatures([SIGSTORE], place.image.digest), {
    code: 'unsupported',
    hint: /registries\.d/,
  });
});

for (const status of [403, 500])
  test(`a signature store that answers ${status} is an error, not an unsigned image`, async () => {
    await using place = await setUp(true);
    place.registry.faults.add({ url: '.sig', status });
    await using source = await place.reference.openSource(place.context);
    await assert.rejects(source.getSignatures());
  });

test('M01 hostile digests in attachments make no request', async () => {
  await using place = await setUp(true);
  const layer = { mediaType: 'x', digest: 'sha256:../../../evil', size: 1 };
  place.registry.faults.add({
    url: '.sig',
    status: 200,
    headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
    body: JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: layer,
      layers: [layer],
    }),
  });
  await using source = await place.reference.openSource(place.context);
  await assert.rejects(source.getSignatures(), { code: 'bad-digest' });
  assert.deepEqual(place.registry.faults.requests(/evil/), []);
});

test('the signature extension of a registry is used where it has one', async () => {
  await using place = await setUp(false);
  const { reference, context, image, registry } = place;
  const list = { signatures: [{ schemaVersion: 2, name: 'x', type: 'atomic', content: 'kAEC' }] };
  registry.faults.add(
    { url: /^\/v2\/$/, setHeaders: { 'x-registry-supports-signatures': '1' } },
    { method: 'GET', url: '/extensions/v2/a/b/signatures/', status: 200, body: JSON.stringify(list) },
    { method: 'PUT', url: '/extensions/v2/a/b/signatures/', status: 201 },
  );
  await using source = await reference.openSource(context);
  assert.deepEqual(await source.getSignatures(), [{ kind: 'simple', bytes: Buffer.from([0x90, 1, 2]) }]);
  await using destination = await reference.openDestination(context);
  await destination.putSignatures([SIMPLE], image.digest);
  assert.equal(registry.faults.requests(/^PUT \/extensions/).length, 1);
});

test.run();
