import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { parseReference } from '../../image/reference.ts';
import { openBlobCache } from '../../transport/blob-cache.ts';
import type { TransportContext } from '../../transport/contract.ts';
import { copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import {
  configuredSources,
  directorySources,
  parseSyncConfig,
  planSync,
  planToJson,
  registrySources,
  type SyncGroup,
  type SyncTarget,
  shardPlan,
  syncImages,
} from '../../transport/sync.ts';
import { readPlan } from '../../transport/sync-apply.ts';
import { destinationOf } from '../../transport/sync-plan.ts';
import { AMD64, ANYTHING, contextFor, writeIndexLayout } from '../support/layout.ts';
import { seedImage, startTestRegistry, type TestRegistry } from '../support/registry.ts';

const test = suite<{ directory: string; registry: TestRegistry; context: TransportContext }>('sync');
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'sync-'));
  state.registry = await startTestRegistry();
  const docker = { environment: { HOME: state.directory }, tlsVerify: false, requestRetries: 0 };
  state.context = contextFor(state.directory, { docker });
});
test.after.each(async ({ directory, registry }) => {
  await registry[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const target = (context: TransportContext, more: Partial<SyncTarget>): SyncTarget => ({
  transport: 'docker',
  base: '',
  context,
  scoped: false,
  appendSuffix: '',
  all: false,
  ...more,
});

async function run(groups: readonly SyncGroup[], to: SyncTarget, options = {}) {
  const plan = await planSync(groups, to);
  return {
    plan,
    result: await syncImages(ANYTHING, plan, { copy: {}, destination: to.context, ...options }),
  };
}

test('mirrors all tags of a repository; again it only asks', async ({ registry, context }) => {
  for (const tag of ['1', '2', '3']) await seedImage(registry, 'app', tag, [`layer ${tag}`]);
  const source = async () => [await registrySources(parseReference(`${registry.address}/app`), context)];
  const to = target(context, { base: `${registry.address}/mirror` });
  const first = await run(await source(), to);
  deepEqual([first.result.copied, first.result.unchanged], [3, 0]);
  ok(first.plan.requests <= 3 + 2, `${first.plan.requests} requests for 3 tags`);
  equal(registry.faults.requests(/^GET .*manifests/).length, 3, 'each manifest is read once');
  registry.faults.clear();
  const again = await run(await source(), to);
  deepEqual([again.result.copied, again.result.unchanged], [0, 3]);
  deepEqual(
    registry.faults.requests(/^(?!HEAD|GET \/v2\/[^ ]*(?:tags\/list|$))/),
    [],
    'nothing but HEAD and tag lists',
  );
  await seedImage(registry, 'app', '2', ['another']);
  const moved = await run(await source(), to);
  deepEqual(
    [moved.result.copied, moved.plan.items.map(({ action }) => action)],
    [1, ['unchanged', 'move', 'unchanged']],
  );
});

test('a layer that several images share moves once, and is mounted in other repositories', async ({
  registry,
  context,
  directory,
}) => {
  const shared = gzipSync(randomBytes(3_000_000));
  for (const [repository, tag] of [
    ['app', '1'],
    ['app', '2'],
    ['tool', '1'],
  ] as const)
    await seedImage(
      registry,
      repository,
      tag,
      [shared, gzipSync(`${repository}:${tag}`)],
      MEDIA_TYPE.ociLayerGzip,
    );
  await using target2 = await startTestRegistry();
  const groups = await Promise.all(
    ['app', 'tool'].map((name) => registrySources(parseReference(`${registry.address}/${name}`), context)),
  );
  const to = target(context, { base: `${target2.address}/mirror` });
  const blobCache = await openBlobCache(join(directory, 'blobs.json'));
  const plan = await planSync(groups, to);
  equal((await syncImages(ANYTHING, plan, { copy: { blobCache }, destination: context })).copied, 3);
  const digest = encodeURIComponent(digestOf(shared));
  equal(target2.faults.requests(/^PUT/).filter((line) => line.includes(digest)).length, 1);
  const mounts = target2.faults.requests(/mount=/).filter((line) => line.includes(digest));
  // The second image of a repository may ask for a mount, too: that tells whether the layer is there as well.
  ok(mounts.length === 1 || mounts.length === 2, mounts.join('\n'));
});

test('another try reads the manifest again', async ({ registry, context }) => {
  await seedImage(registry, 'app', '1');
  const groups = [await registrySources(parseReference(`${registry.address}/app`), context)];
  registry.faults.clear();
  registry.faults.add({ method: 'PUT', url: /manifests/, status: 500, times: 1 });
  const retry = { times: 1, delayMs: 1 };
  const { result } = await run(groups, target(context, { base: `${registry.address}/m` }), { retry });
  equal(result.copied, 1);
  equal(registry.faults.requests(/^GET .*manifests/).length, 2);
});

test('scoped names and suffixes', async ({ registry, context }) => {
  await seedImage(registry, 'team/app', '1');
  const groups = [await registrySources(parseReference(`${registry.address}/team/app:1`), context)];
  const name = async (more: Partial<SyncTarget>) => {
    const { items } = await planSync(groups, target(context, { base: `${registry.address}/m`, ...more }));
    return items[0]?.destination.within.replace(registry.address, 'R');
  };
  equal(await name({}), '//R/m/app:1');
  equal(await name({ appendSuffix: '-x' }), '//R/m/app:1-x');
  const scoped = target(context, { scoped: true, base: 'example.com/m' });
  const source = { ...groups[0]!.sources[0]!, suffix: 'docker.io/library/app:1' };
  equal(destinationOf(source, scoped).within, '//example.com/m/docker.io/library/app:1');
});

test('to directories and back; what is there stays, and does not block a rerun', async ({
  directory,
  registry,
  context,
}) => {
  for (const tag of ['1', '2']) await seedImage(registry, 'app', tag, [`layer ${tag}`]);
  const groups = [await registrySources(parseReference(`${registry.address}/app`), context)];
  const to = target(context, { transport: 'dir', base: join(directory, 'out') });
  registry.faults.add({ url: /blobs/, skip: 3, status: 500 });
  await rejects(run(groups, to, { parallelImages: 1 }));
  registry.faults.clear();
  await run(groups, to);
  deepEqual(readdirSync(join(directory, 'out')), ['app:1', 'app:2']);
  deepEqual((await run(groups, to)).result.unchanged, 2);
  mkdirSync(join(directory, 'foreign/app:1'), { recursive: true });
  writeFileSync(join(directory, 'foreign/app:1/notes'), 'mine');
  const blocked = await run(groups, { ...to, base: join(directory, 'foreign') }, { keepGoing: true });
  deepEqual([blocked.result.copied, blocked.result.failures.length], [1, 1]);
  match(
    String((blocked.result.failures[0]!.error as Error).message),
    /Refusing to overwrite destination directory/,
  );
  const back = await run(
    [await directorySources(join(directory, 'out'), context)],
    target(context, { base: `${registry.address}/back` }),
  );
  equal(back.result.copied, 2);
});

test('one failure stops everything, or with keep-going is counted and named', async ({
  registry,
  context,
}) => {
  for (const tag of ['1', '2', '3']) await seedImage(registry, 'app', tag, [`layer ${tag}`]);
  const groups = [await registrySources(parseReference(`${registry.address}/app`), context)];
  registry.faults.add({ method: 'GET', url: '/app/manifests/2', status: 500 });
  const to = target(context, { base: `${registry.address}/mirror` });
  await rejects(run(groups, to));
  const { result } = await run(groups, to, { keepGoing: true });
  deepEqual(
    [result.copied + result.unchanged, result.failures.map(({ title }) => title.split('/').at(-1))],
    [2, ['app:2']],
  );
});

test('a plan is data: written, read back, divided without overlap', async ({
  directory,
  registry,
  context,
}) => {
  for (let tag = 0; tag < 9; tag += 1) await seedImage(registry, 'app', `t${tag}`, [`layer ${tag}`]);
  const groups = [await registrySources(parseReference(`${registry.address}/app`), context)];
  const plan = await planSync(groups, target(context, { base: `${registry.address}/mirror` }));
  const json = Buffer.from(JSON.stringify(planToJson(plan)));
  const parts = [1, 2, 3].map((index) =>
    shardPlan(plan, index, 3).items.map(({ destination }) => destination.within),
  );
  deepEqual(parts.flat().toSorted(), plan.items.map(({ destination }) => destination.within).toSorted());
  await seedImage(registry, 'app', 't0', ['moved since']);
  const read = await readPlan(json, context, directory);
  deepEqual((await syncImages(ANYTHING, read, { copy: {}, destination: context })).copied, 9);
  const after = await planSync(groups, target(context, { base: `${registry.address}/mirror` }));
  deepEqual(
    after.items.filter(({ action }) => action !== 'unchanged').length,
    1,
    'the planned digest was taken, not the moved tag',
  );
  for (const text of ['{}', '{"version":1,"items":[{}],"prunes":[]}', '{"version":2}'])
    await rejects(readPlan(Buffer.from(text), context, directory), { code: /bad/ });
});

test('the file: tags, patterns, ranges, excludes, renames, platforms', async ({ registry, context }) => {
  for (const tag of ['v1.0.0', 'v1.2.0', 'v1.2.0-rc1', 'v2.0.0', 'latest'])
    await seedImage(registry, 'app', tag, [tag]);
  const names = async (yaml: string) => {
    const [entry] = await parseSyncConfig(`"${registry.address}":\n${yaml}`, 'images.yml', AMD64);
    const groups = await configuredSources(entry!, context);
    const failures = groups.flatMap(({ failure }) => (failure ? [(failure as Error).message] : []));
    return [
      ...groups.flatMap(({ sources }) =>
        sources.map(({ reference, renamed }) => renamed ?? reference.named?.tag),
      ),
      ...failures,
    ];
  };
  deepEqual(await names('  images: {app: [latest]}'), ['latest']);
  equal((await names('  images: {app: []}')).length, 5);
  deepEqual(await names('  images-by-tag-regex: {app: "^v2"}'), ['v2.0.0']);
  deepEqual(await names('  images-by-semver: {app: ">=1.1, <2"}'), ['v1.2.0']);
  deepEqual(
    await names('  repositories: {app: {semver: "1.x", exclude: ["1.0"], rename: "old/{name}:{tag}-m"}}'),
    ['old/app:v1.2.0-m'],
  );
  match(String(await names('  images-by-tag-regex: {app: "^nothing"}')), /No images to sync found/);
  match(String(await names('  images: {none: []}')), /none/);
});

test('platforms and TLS settings of the file go through a plan; the stripped index is known again', async ({
  directory,
  registry,
  context,
}) => {
  const index = writeIndexLayout(join(directory, 'multi'), 'x', [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
    { os: 'linux', architecture: 's390x' },
  ]);
  await copyImage(
    ANYTHING,
    await parseImageReference('oci:multi:x', { workingDirectory: directory }),
    await parseImageReference(`docker://${registry.address}/multi:1`, { workingDirectory: directory }),
    { source: context, destination: context, select: 'all', preserveDigests: true },
  );
  const yaml = `"${registry.address}":\n  tls-verify: false\n  repositories:\n    multi:\n      platforms: [linux/amd64, linux/arm64]`;
  const [entry] = await parseSyncConfig(yaml, 'images.yml', AMD64);
  const secure = { ...context, docker: { ...context.docker!, tlsVerify: true } };
  const to = target(context, { base: `${registry.address}/mirror`, all: true });
  const plan = async () => planSync(await configuredSources(entry!, secure), to);
  const read = await readPlan(Buffer.from(JSON.stringify(planToJson(await plan()))), secure, directory);
  equal((await syncImages(ANYTHING, read, { copy: { select: 'all' }, destination: context })).copied, 1);
  const stored = await (await fetch(`${registry.url}/v2/mirror/multi/manifests/1`)).json();
  deepEqual(
    (stored as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest),
    index.images.slice(0, 2).map(({ digest }) => digest),
  );
  deepEqual(
    (await plan()).items.map(({ action }) => action),
    ['unchanged'],
  );
});

test('what is wrong in a file is an error with its place, never skipped', async () => {
  const rows: [string, RegExp][] = [
    ['a: {imagez: {x: []}}', /unknown key "imagez"/],
    ['a: {images-by-tag-regex: {x: "["}}', /not a regular expression/],
    ['a: {images-by-semver: {x: "not a range"}}', /not a range of versions/],
    ['a: {}', /no images are given/],
    ['{}', /names no registry/],
    ['a: {images: {x: [1.10]}}', /put the number 1.1 in quotes/],
    ['a: {images: {x: ["in valid"]}}', /neither a tag nor a digest/],
    ['a: {images: {"x:1": []}}', /names an image, not a repository/],
    ['a: {images: {x: []}, tls-verify: "no"}', /neither true nor false/],
    ['a: {images: {x: []}, credentials: {user: x}}', /unknown key "user"/],
    ['a: {images: {x: []}}\na: {images: {y: []}}', /Failed to unmarshal/],
    ['a: [', /Failed to unmarshal/],
    ['a: {repositories: {x: {tags: []}}}', /tags is empty/],
  ];
  for (const [yaml, pattern] of rows)
    await rejects(parseSyncConfig(yaml, 'images.yml', AMD64), pattern, yaml);
});

test('pruning removes tags that the source has not, within its limit, and only after success', async ({
  registry,
  context,
}) => {
  await seedImage(registry, 'app', '1', ['one']);
  for (const tag of ['1', 'old1', 'old2']) await seedImage(registry, 'mirror/app', tag, [`layer ${tag}`]);
  const yaml = (limit: number) =>
    `"${registry.address}": {repositories: {app: {prune: true}}, prune-limit: ${limit}}`;
  const groups = async (limit: number) =>
    configuredSources((await parseSyncConfig(yaml(limit), 'x', AMD64))[0]!, context);
  const to = target(context, { base: `${registry.address}/mirror` });
  await rejects(planSync(await groups(1), to), /pruning would remove 2 tags, more than the limit of 1/);
  const { plan, result } = await run(await groups(5), to);
  deepEqual(
    plan.prunes.map(({ tag }) => tag),
    ['old1', 'old2'],
  );
  equal(result.pruned, 2);
  const left = await (await fetch(`${registry.url}/v2/mirror/app/tags/list`)).json();
  deepEqual((left as { tags: string[] }).tags, ['1']);
});

test('planning writes nothing', async ({ directory, registry, context }) => {
  await seedImage(registry, 'app', '1');
  registry.faults.clear();
  await planSync(
    [await registrySources(parseReference(`${registry.address}/app`), context)],
    target(context, { transport: 'dir', base: join(directory, 'out') }),
  );
  equal(existsSync(join(directory, 'out')), false);
  deepEqual(registry.faults.requests(/^(PUT|POST|PATCH|DELETE)/), []);
});

test.run();
