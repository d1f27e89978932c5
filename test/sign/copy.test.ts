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
import { suite } from 'uvu';
import { parsePolicy } from '../../config/policy.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { parseReference } from '../../image/reference.ts';
import { formatPayload } from '../../sign/payload.ts';
import { createPolicy } from '../../sign/policy/policy.ts';
import type { TransportContext } from '../../transport/contract.ts';
import { copyImage } from '../../transport/copy.ts';
import type { CopyOptions } from '../../transport/copy-options.ts';
import { lookasideBase, writeLookaside } from '../../transport/docker/lookaside.ts';
import { parseImageReference } from '../../transport/references.ts';
import { dockerContext } from '../support/docker-context.ts';
import { certificate, makeKey, message, NOW_MS } from '../support/openpgp.ts';
import { seedImage, seedManifest, startTestRegistry, type TestRegistry } from '../support/registry.ts';

interface Context {
  registry: TestRegistry;
  directory: string;
}

const KEY = makeKey();
const POLICY = parsePolicy(
  JSON.stringify({
    default: [{ type: 'signedBy', keyType: 'GPGKeys', keyData: certificate(KEY).toString('base64') }],
  }),
);

const test = suite<Context>('copy with a policy');
test.before.each(async (context) => {
  context.registry = await startTestRegistry();
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-sign-copy-'));
  mkdirSync(join(context.directory, 'registries.d'));
  writeFileSync(
    join(context.directory, 'registries.d/a.yaml'),
    `default-docker:\n  lookaside: file://${context.directory}/lookaside\n`,
  );
});
test.after.each(async ({ registry, directory }) => {
  await registry.close();
  rmSync(directory, { recursive: true, force: true });
});

function surroundings({ directory }: Context): TransportContext {
  return dockerContext({ registriesDirectory: join(directory, 'registries.d') });
}

async function signManifest({ directory, registry }: Context, digest: Digest, name = 'app:1'): Promise<void> {
  const reference = `${registry.address}/${name}`;
  const bytes = message(KEY, formatPayload('simple', { digest, reference }));
  const base = lookasideBase(`file://${directory}/lookaside`, parseReference(reference));
  await writeLookaside(base, digest, [{ kind: 'simple', bytes }]);
}

async function copy(context: Context, to: string, options: Partial<CopyOptions> = {}) {
  const parse = (text: string) => parseImageReference(text, { workingDirectory: '/' });
  const both = { source: surroundings(context), destination: surroundings(context) };
  return copyImage(
    createPolicy(POLICY, { now: () => NOW_MS }),
    await parse(`docker://${context.registry.address}/app:1`),
    await parse(to),
    { ...both, ...options },
  );
}

async function seedIndex({ registry }: Context): Promise<{ index: Digest; children: Digest[] }> {
  const children: Digest[] = [];
  const manifests: object[] = [];
  for (const architecture of ['amd64', 'arm64']) {
    const { digest } = await seedImage(registry, 'app', `for-${architecture}`, [`layer for ${architecture}`]);
    const found = await fetch(`${registry.url}/v2/app/manifests/${digest}`, {
      headers: { accept: MEDIA_TYPE.ociManifest },
    });
    const size = (await found.arrayBuffer()).byteLength;
    children.push(digest);
    manifests.push({
      mediaType: MEDIA_TYPE.ociManifest,
      digest,
      size,
      platform: { os: 'linux', architecture },
    });
  }
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
  const { digest } = await seedManifest(registry, 'app', '1', index, MEDIA_TYPE.ociIndex);
  return { index: digest, children };
}

const REJECTED = { message: 'Source image rejected: A signature was required, but no signature exists' };

test('a signed image is copied, its signature with it', async (context) => {
  const { digest } = await seedImage(context.registry, 'app', '1');
  await signManifest(context, digest);
  const to = join(context.directory, 'out');
  assert.equal((await copy(context, `dir:${to}`)).digest, digest);
  assert.ok(existsSync(join(to, 'signature-1')));
});

for (const to of ['dir', 'oci', 'docker-archive'])
  test(`nothing of a refused image is left in ${to}:`, async (context) => {
    await seedImage(context.registry, 'app', '1');
    const place = join(context.directory, 'out');
    await assert.rejects(copy(context, `${to}:${place}${to === 'docker-archive' ? ':a/b:1' : ''}`), REJECTED);
    const left = existsSync(place) ? readdirSync(place, { recursive: true }) : [];
    assert.deepEqual(
      left.map(String).filter((name) => /[0-9a-f]{64}|manifest/.test(name)),
      [],
    );
    assert.equal(
      context.registry.faults.requests(/\/blobs\//).some((line) => line.startsWith('GET')),
      false,
    );
  });

test('nothing of a refused image is left in a registry', async (context) => {
  await seedImage(context.registry, 'app', '1');
  await assert.rejects(copy(context, `docker://${context.registry.address}/other:1`), REJECTED);
  assert.equal((await fetch(`${context.registry.url}/v2/other/tags/list`)).status, 404);
});

test('M12: a registry that returns one manifest for the check and another for the copy', async (context) => {
  const { digest, config, layers } = await seedImage(context.registry, 'app', '1');
  await signManifest(context, digest);
  const evil = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [...layers].reverse() };
  context.registry.faults.add({
    method: 'GET',
    url: /\/manifests\//,
    skip: 1,
    status: 200,
    headers: { 'content-type': MEDIA_TYPE.ociManifest },
    body: JSON.stringify(evil),
  });
  const to = join(context.directory, 'out');
  await copy(context, `dir:${to}`);
  assert.equal(digestOf(readFileSync(join(to, 'manifest.json'))), digest);
});

test('S18: an unsigned index with signed children: children are checked one by one', async (context) => {
  const { children } = await seedIndex(context);
  for (const child of children) await signManifest(context, child);
  await copy(context, `dir:${join(context.directory, 'all')}`, { select: 'all' });
  await copy(context, `dir:${join(context.directory, 'one')}`);
});

test('S18: a signed index with unsigned children is refused', async (context) => {
  const { index } = await seedIndex(context);
  await signManifest(context, index);
  await assert.rejects(copy(context, `dir:${join(context.directory, 'all')}`, { select: 'all' }), REJECTED);
  await assert.rejects(copy(context, `dir:${join(context.directory, 'one')}`), REJECTED);
});

test('S18: an index of which one child is unsigned is refused as a whole', async (context) => {
  const { children } = await seedIndex(context);
  await signManifest(context, children[0] as Digest);
  const to = join(context.directory, 'out');
  await assert.rejects(copy(context, `dir:${to}`, { select: 'all' }), REJECTED);
  assert.equal(existsSync(join(to, 'manifest.json')), false);
});

test('S18: a change that would alter a signed image needs --remove-signatures', async (context) => {
  const { digest } = await seedImage(context.registry, 'app', '1');
  await signManifest(context, digest);
  const to = `dir:${join(context.directory, 'out')}`;
  await assert.rejects(copy(context, to, { format: 'docker' }), /signature/i);
  await copy(context, to, { format: 'docker', removeSignatures: true });
  assert.equal(existsSync(join(context.directory, 'out/signature-1')), false);
});

test('a lookaside store that cannot be asked refuses the image', async (context) => {
  await seedImage(context.registry, 'app', '1');
  const url = `${context.registry.url}/down`;
  writeFileSync(join(context.directory, 'registries.d/a.yaml'), `default-docker:\n  lookaside: ${url}\n`);
  context.registry.faults.add({ url: /\/down\//, status: 403 });
  await assert.rejects(copy(context, `dir:${join(context.directory, 'out')}`), /rejected: .*403/);
});

test.run();
