// Artifacts in a registry: tags, manifests and blobs as they are, backups.
import { deepEqual, equal, rejects } from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { suite } from 'uvu';
import {
  attachArtifact,
  backUpRepository,
  deleteBlob,
  discoverReferrers,
  fetchBlob,
  fetchConfig,
  fetchManifest,
  pushArtifact,
  pushBlob,
  restoreRepository,
  storeManifest,
  tagArtifact,
} from '../../artifact/index.ts';
import { digestOf } from '../../image/digest.ts';
import { DockerReference } from '../../transport/docker/reference.ts';
import { listRepositoryTags } from '../../transport/docker/tags.ts';
import { parseImageReference } from '../../transport/references.ts';
import { dockerContext } from '../support/docker-context.ts';
import { ANYTHING, writeIndexLayout } from '../support/layout.ts';
import { startTestRegistry, type TestRegistry } from '../support/registry.ts';

const test = suite<{ directory: string; registry: TestRegistry }>('artifacts in a registry');
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'artifact-registry-'));
  state.registry = await startTestRegistry();
});
test.after.each(async ({ directory, registry }) => {
  await registry.close();
  rmSync(directory, { recursive: true, force: true });
});

const named = ({ registry }: { registry: TestRegistry }, tag = 'v1') =>
  DockerReference.of({ domain: registry.address, path: 'team/art', tag });
const repository = ({ registry }: { registry: TestRegistry }, path = 'team/art') => ({
  domain: registry.address,
  path,
});

/** An artifact of one file, in its own temporary directory that stays empty. */
async function push(state: { directory: string; registry: TestRegistry }) {
  const path = join(state.directory, 'file');
  writeFileSync(path, 'content');
  const context = dockerContext({}, { temporaryDirectory: state.directory });
  return await pushArtifact(named(state), [{ path, title: 'file' }], context, { artifactType: 'a/b' });
}

test('pushing leaves nothing in the temporary directory, and says what it stored', async (state) => {
  const { digest, bytes } = await push(state);
  equal(digestOf(bytes), digest);
  deepEqual(readdirSync(state.directory), ['file']);
  const fetched = await fetchManifest(named(state), dockerContext());
  deepEqual([fetched.descriptor.digest, Buffer.compare(fetched.bytes, bytes)], [digest, 0]);
  equal(Buffer.from((await fetchConfig(named(state), dockerContext())).bytes).toString(), '{}');
});

test('more tags are the same manifest', async (state) => {
  const { digest } = await push(state);
  equal((await tagArtifact(named(state), ['v2', 'latest'], dockerContext())).digest, digest);
  deepEqual((await listRepositoryTags(repository(state), dockerContext())).toSorted(), [
    'latest',
    'v1',
    'v2',
  ]);
  const dir = await parseImageReference('dir:x', { workingDirectory: state.directory });
  await rejects(tagArtifact(dir, ['y'], dockerContext()));
});

test('manifests are stored as they are, and only manifests', async (state) => {
  const { bytes, digest } = await push(state);
  equal((await storeManifest(named(state, 'again'), bytes, dockerContext())).digest, digest);
  for (const wrong of ['hello', '{}', '{"schemaVersion":2,"mediaType":"text/plain"}'])
    await rejects(storeManifest(named(state, 'wrong'), Buffer.from(wrong), dockerContext()), `${wrong}`);
  deepEqual((await listRepositoryTags(repository(state), dockerContext())).toSorted(), ['again', 'v1']);
});

test('of an index the platform chooses', async (state) => {
  const index = writeIndexLayout(join(state.directory, 'a'), 'x', [
    { os: 'linux', architecture: 'arm64' },
    { os: 'linux', architecture: 's390x' },
  ]);
  const layout = await parseImageReference('oci:a:x', { workingDirectory: state.directory });
  equal((await fetchManifest(layout, dockerContext())).descriptor.digest, index.digest);
  const platform = { os: 'linux', architecture: 's390x' };
  equal((await fetchManifest(layout, dockerContext(), platform)).descriptor.digest, index.images[1]?.digest);
  await rejects(fetchManifest(layout, dockerContext(), { os: 'plan9', architecture: 'mips' }), {
    code: 'not-an-artifact',
  });
  await rejects(fetchConfig(layout, dockerContext()), { code: 'not-an-artifact' });
});

test('blobs go in and come out, checked on the way', async (state) => {
  const path = join(state.directory, 'blob');
  writeFileSync(path, 'some bytes');
  const digest = digestOf('some bytes');
  equal((await pushBlob(repository(state), path, dockerContext())).digest, digest);
  equal(state.registry.faults.requests(/uploads/).length > 0, true);
  state.registry.faults.clear();
  await pushBlob(repository(state), path, dockerContext());
  equal(state.registry.faults.requests(/^PUT/).length, 0);
  await rejects(
    pushBlob(repository(state), path, dockerContext(), { digest: digestOf('other') }),
    /other content|digest/,
  );
  const { stream } = await fetchBlob(repository(state), digest, dockerContext());
  equal((await buffer(stream)).toString(), 'some bytes');
  state.registry.faults.add({ method: 'GET', url: digest, corruptAt: 3 });
  const spoilt = await fetchBlob(repository(state), digest, dockerContext());
  await rejects(buffer(spoilt.stream), { code: 'digest-mismatch' });
  await deleteBlob(repository(state), digest, dockerContext());
  await rejects(fetchBlob(repository(state), digest, dockerContext()), { code: 'not-found' });
  await rejects(deleteBlob(repository(state), digest, dockerContext()), { code: 'not-found' });
});

test('backups keep digests and referrers, as directory and as archive', async (state) => {
  const { directory, registry } = state;
  const { digest } = await push(state);
  const file = [{ path: join(directory, 'file'), title: 'sbom' }];
  await attachArtifact(named(state), file, dockerContext(), { artifactType: 's/b' });
  const options = { registry: dockerContext({}, { temporaryDirectory: directory }), referrers: true };
  for (const name of ['saved', 'saved.tar']) {
    const path = join(directory, name);
    deepEqual(await backUpRepository(ANYTHING, repository(state), path, options), ['v1']);
    const target = repository(state, `restored-${name.replace('.', '-')}`);
    const told: string[] = [];
    await restoreRepository(ANYTHING, path, target, {
      ...options,
      dryRun: true,
      onTag: (tag, result) => told.push(`${tag} ${result?.digest}`),
    });
    deepEqual(told, ['v1 undefined']);
    equal((await fetch(`${registry.url}/v2/${target.path}/manifests/v1`)).status, 404);
    await restoreRepository(ANYTHING, path, target, options);
    const node = await discoverReferrers(DockerReference.of({ ...target, tag: 'v1' }), dockerContext());
    deepEqual([node.descriptor.digest, node.referrers.length], [digest, 1]);
  }
  deepEqual(
    readdirSync(directory).filter((name) => name.startsWith('.')),
    [],
  );
});

test('a backup that fails leaves no archive, and one that is there stays', async (state) => {
  await push(state);
  const path = join(state.directory, 'saved.tar');
  const options = { registry: dockerContext({ requestRetries: 0 }) };
  state.registry.faults.add({ method: 'GET', url: /blobs/, status: 403 });
  await rejects(backUpRepository(ANYTHING, repository(state), path, options), { code: 'denied' });
  equal(existsSync(path), false);
  deepEqual(readdirSync(state.directory), ['file']);
  writeFileSync(path, 'mine');
  await rejects(backUpRepository(ANYTHING, repository(state), path, options), { code: 'exists' });
  await rejects(restoreRepository(ANYTHING, path, repository(state), options));
});

test.run();
