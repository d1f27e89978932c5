// What slipway adds to Skopeo's commands: graph copies by default, bare names, clean outputs, rm-tag.
import { deepEqual, equal, match } from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { slipway } from '../../bin/slipway.ts';
import { writeIndexLayout } from '../support/layout.ts';
import {
  seedBlob,
  seedImage,
  seedManifest,
  startTestRegistry,
  type TestRegistry,
} from '../support/registry.ts';
import { runCaptured } from '../support/tool.ts';

const OCI = 'application/vnd.oci.image.manifest.v1+json';
const test = suite<{ directory: string; registry: TestRegistry }>('slipway copy');
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'slipway-copy-'));
  state.registry = await startTestRegistry();
  writeFileSync(join(state.directory, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
});
test.after.each(async ({ directory, registry }) => {
  await registry.close();
  rmSync(directory, { recursive: true, force: true });
});

const run = (directory: string, ...words: string[]) =>
  runCaptured(slipway, [words[0] as string, '--policy', 'policy.json', ...words.slice(1)], {
    environment: { HOME: directory, TMPDIR: directory, PATH: process.env.PATH },
    workingDirectory: directory,
  });

/** An SBOM that refers to an image of `app`. */
async function attach(registry: TestRegistry, digest: string): Promise<void> {
  const empty = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: await seedBlob(registry, 'app', '{}'),
    size: 2,
  };
  await seedManifest(registry, 'app', 'sbom', {
    schemaVersion: 2,
    mediaType: OCI,
    artifactType: 'application/spdx+json',
    config: empty,
    layers: [empty],
    subject: { mediaType: OCI, digest, size: 1 },
  });
}

async function referrersIn(registry: TestRegistry, repository: string, digest: string): Promise<number> {
  const response = await fetch(`${registry.url}/v2/${repository}/referrers/${digest}`);
  return ((await response.json()) as { manifests: object[] }).manifests.length;
}

test('takes referrers along unless told otherwise; the digest alone is on stdout', async (state) => {
  const { directory, registry } = state;
  const { digest } = await seedImage(registry, 'app', '1');
  await attach(registry, digest);
  const [from, to] = [`${registry.address}/app:1`, `${registry.address}/mirror:1`];
  const flags = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  const bare = await run(directory, 'copy', '--referrers=false', ...flags, from, to);
  deepEqual([bare.code, bare.stdout], [0, `${digest}\n`]);
  equal(await referrersIn(registry, 'mirror', digest), 0);
  const full = await run(directory, 'copy', ...flags, from, to);
  deepEqual([full.code, full.stdout], [0, `${digest}\n`]);
  match(full.stderr, /^Copying blob sha256:/m);
  match(full.stderr, /^Copied 1 referrers, 0 were there, 0 cannot be held$/m);
  equal(await referrersIn(registry, 'mirror', digest), 1);
  const again = await run(directory, 'copy', ...flags, from, to);
  match(again.stderr, /^Copied 0 referrers, 1 were there, 0 cannot be held$/m);
});

test('--progress json: events alone on stdout, the last says what came of it', async (state) => {
  const { directory, registry } = state;
  const { digest } = await seedImage(registry, 'app', '1');
  const run1 = await run(
    directory,
    ...['copy', '--progress', 'json', '--src-tls-verify=false', `${registry.address}/app:1`, 'oci:out:x'],
  );
  deepEqual([run1.code, run1.stderr], [0, '']);
  const events = run1.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  deepEqual(new Set(events.map(({ type }) => type)), new Set(['started', 'done', 'advanced', 'copied']));
  const { type, source, images, referrers, counts } = events.at(-1);
  deepEqual([type, source, images], ['copied', `docker://${registry.address}/app:1`, 1]);
  deepEqual(referrers, { copied: 0, present: 0, unsupported: 0 });
  equal(counts.moved, 3);
  const sync = await run(
    directory,
    ...['sync', '--progress', 'json', '--src', 'docker', '--dest', 'dir', '--src-tls-verify=false'],
    `${registry.address}/app`,
    'mirror',
  );
  equal(sync.code, 0);
  const last = sync.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .at(-1);
  deepEqual([last.image, last.type, last.digest], [`dir:${directory}/mirror/app:1`, 'copied', digest]);
});

test('an index goes whole where it can be held, else the image of this platform', async ({ directory }) => {
  const index = writeIndexLayout(join(directory, 'a'), 'x', [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 's390x' },
  ]);
  equal((await run(directory, 'copy', '-q', 'oci:a:x', 'dir:b')).stdout, `${index.digest}\n`);
  const one = await run(directory, 'copy', '-q', '--multi-arch', 'system', 'oci:a:x', 'dir:c');
  equal(
    index.images.some(({ digest }) => `${digest}\n` === one.stdout),
    true,
  );
  equal((await run(directory, 'copy', '-q', 'oci:a:x', 'docker-archive:d.tar:app:1')).code, 0);
});

test('sync brings referrers that came later, also of images that did not change', async (state) => {
  const { directory, registry } = state;
  const { digest } = await seedImage(registry, 'app', '1');
  const words = [
    ...['sync', '--src', 'docker', '--dest', 'docker', '--src-tls-verify=false', '--dest-tls-verify=false'],
    `${registry.address}/app:1`,
    `${registry.address}/mirror`,
  ];
  equal((await run(directory, ...words)).code, 0);
  await attach(registry, digest);
  const again = await run(directory, ...words);
  match(again.stderr, /copied="0" unchanged="1" pruned="0" referrers="1"/);
  equal(await referrersIn(registry, 'mirror/app', digest), 1);
  const third = await run(directory, ...words);
  match(third.stderr, /referrers="0" referrers-there="1"/);
});

test('bare names, exit codes, and what Skopeo has', async (state) => {
  const { directory, registry } = state;
  await seedImage(registry, 'app', '1');
  const name = `${registry.address}/app:1`;
  const inspect = await run(directory, 'inspect', '--tls-verify=false', '--format', '{{.Name}}', name);
  deepEqual([inspect.code, inspect.stdout], [0, `${registry.address}/app\n`]);
  equal((await run(directory, 'inspect', '--tls-verify=false', `${registry.address}/none:1`)).code, 2);
  const tags = await run(directory, 'list-tags', '--tls-verify=false', `${registry.address}/app`);
  deepEqual(JSON.parse(tags.stdout).Tags, ['1']);
});

test('rm-tag removes tags alone, and checks them all first', async (state) => {
  const { directory, registry } = state;
  const { digest } = await seedImage(registry, 'app', '1');
  await seedImage(registry, 'app', '2');
  const name = `${registry.address}/app`;
  const wrong = await run(directory, 'rm-tag', '--tls-verify=false', `${name}:1`, name);
  deepEqual([wrong.code, wrong.stdout], [1, '']);
  match(wrong.stderr, /names no tag/);
  const right = await run(directory, 'rm-tag', '--tls-verify=false', `${name}:1`);
  deepEqual([right.code, right.stdout], [0, `${name}:1\n`]);
  equal((await fetch(`${registry.url}/v2/app/manifests/1`)).status, 404);
  equal((await fetch(`${registry.url}/v2/app/manifests/2`)).status, 200);
  equal((await fetch(`${registry.url}/v2/app/manifests/${digest}`)).status, 200);
});

test.run();
