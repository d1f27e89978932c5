// Removing a tag alone, in registries that can, that cannot, and that take more away than they should.
import { deepEqual, equal, match, rejects } from 'node:assert/strict';
import { test } from 'uvu';
import { deleteRegistryTag } from '../../../transport/docker/delete-tag.ts';
import { DockerReference } from '../../../transport/docker/reference.ts';
import { listRepositoryTags } from '../../../transport/docker/tags.ts';
import { dockerContext } from '../../support/docker-context.ts';
import { seedImage, seedManifest, startTestRegistry, type TestRegistry } from '../../support/registry.ts';

const TAG_DELETE = /\/manifests\/(?!sha256:)/;

async function seedTags(registry: TestRegistry): Promise<string> {
  const { digest } = await seedImage(registry, 'app', '1');
  const manifest = await (await fetch(`${registry.url}/v2/app/manifests/1`)).text();
  for (const tag of ['2', '3']) await seedManifest(registry, 'app', tag, manifest);
  await seedImage(registry, 'app', 'other', ['something else']);
  registry.faults.clear();
  return digest;
}

const reference = (registry: TestRegistry, tag: string) =>
  DockerReference.of({ domain: registry.address, path: 'app', tag });

async function tagsIn(registry: TestRegistry): Promise<readonly string[]> {
  return [...(await listRepositoryTags({ domain: registry.address, path: 'app' }, dockerContext()))].sort();
}

async function digestOf(registry: TestRegistry, tag: string): Promise<string | null> {
  const response = await fetch(`${registry.url}/v2/app/manifests/${tag}`, { method: 'HEAD' });
  return response.headers.get('docker-content-digest');
}

test('a registry with the API removes the tag, and nothing else', async () => {
  await using registry = await startTestRegistry();
  const digest = await seedTags(registry);
  equal(await deleteRegistryTag(reference(registry, '2'), dockerContext()), 'api');
  deepEqual(await tagsIn(registry), ['1', '3', 'other']);
  equal(await digestOf(registry, '1'), digest);
  equal(registry.faults.requests(/^(PUT|POST|PATCH)/).length, 0);
});

test('without the API the tag goes by way of a manifest of its own', async () => {
  await using registry = await startTestRegistry();
  const digest = await seedTags(registry);
  for (const [status, tag] of [
    [405, '1'],
    [404, '2'],
  ] as const) {
    registry.faults.clear();
    registry.faults.add({ method: 'DELETE', url: TAG_DELETE, status });
    equal(await deleteRegistryTag(reference(registry, tag), dockerContext()), 'dummy');
    equal(
      registry.faults.requests(/^DELETE/).some((line) => line.includes(digest)),
      false,
    );
  }
  deepEqual(await tagsIn(registry), ['3', 'other']);
  equal(await digestOf(registry, '3'), digest);
});

test('a registry that deletes nothing leaves the tag where it was', async () => {
  await using registry = await startTestRegistry();
  const digest = await seedTags(registry);
  registry.faults.add({ method: 'DELETE', status: 405 });
  await rejects(deleteRegistryTag(reference(registry, '1'), dockerContext()), { code: 'unsupported' });
  equal(await digestOf(registry, '1'), digest);
  equal(registry.faults.requests(/^PUT .*\/manifests\/1$/).length, 0);
});

test('a delete that fails behind the trial puts the tag back', async () => {
  await using registry = await startTestRegistry();
  const digest = await seedTags(registry);
  registry.faults.add(
    { method: 'DELETE', url: TAG_DELETE, status: 405 },
    { method: 'DELETE', url: /manifests\/sha256:/, skip: 1, status: 403 },
  );
  await rejects(deleteRegistryTag(reference(registry, '1'), dockerContext()), { code: 'denied' });
  equal(await digestOf(registry, '1'), digest);
});

test('sibling tags that a registry takes along are put back, with a warning', async () => {
  const origin: { url?: string } = {};
  await using registry = await startTestRegistry({
    intercept: async (request, response) => {
      if (request.method !== 'DELETE' || !TAG_DELETE.test(request.url ?? '')) return false;
      const url = `${origin.url}${request.url}`;
      const digest = (await fetch(url, { method: 'HEAD' })).headers.get('docker-content-digest') ?? '';
      await fetch(url.replace(/[^/]*$/, digest), { method: 'DELETE' });
      response.writeHead(202).end();
      return true;
    },
  });
  origin.url = registry.url;
  const digest = await seedTags(registry);
  const warnings: string[] = [];
  const context = dockerContext({}, { onWarning: (text) => warnings.push(text) });
  await deleteRegistryTag(reference(registry, '1'), context);
  deepEqual(await tagsIn(registry), ['2', '3', 'other']);
  equal(await digestOf(registry, '2'), digest);
  match(warnings.join(), /put back: 2, 3/);
  await deleteRegistryTag(reference(registry, 'other'), context);
  equal(warnings.length, 1);
});

test('no such tag, and no tag at all', async () => {
  await using registry = await startTestRegistry();
  await seedTags(registry);
  await rejects(deleteRegistryTag(reference(registry, 'none'), dockerContext()), { code: 'not-found' });
  const byDigest = DockerReference.of({
    domain: registry.address,
    path: 'app',
    digest: `sha256:${'0'.repeat(64)}` as never,
  });
  await rejects(deleteRegistryTag(byDigest, dockerContext()), { code: 'bad-reference' });
  equal(registry.faults.requests(/^DELETE/).length, 0);
});

test.run();
