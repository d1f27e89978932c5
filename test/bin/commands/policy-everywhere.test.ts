// Every command that hands out what is in an image asks policy.json, and a refusal leaves nothing behind.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { buildah } from '../../../bin/buildah.ts';
import type { ToolSpec } from '../../../bin/cli/contract.ts';
import { skopeo } from '../../../bin/skopeo.ts';
import { slipway } from '../../../bin/slipway.ts';
import { seedImage, startTestRegistry, type TestRegistry } from '../../support/registry.ts';
import { runCaptured } from '../../support/tool.ts';

const TOOLS: Readonly<Record<string, ToolSpec>> = { buildah, skopeo, slipway };
const REJECTED = /Source image rejected: Running image \S+ is rejected by policy\./;

interface Context {
  registry: TestRegistry;
  directory: string;
}

const test = suite<Context>('policy in every command');
test.before.each(async (context) => {
  context.registry = await startTestRegistry();
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-policy-'));
  await seedImage(context.registry, 'app', '1');
  const place = join(context.directory, '.config/containers');
  mkdirSync(place, { recursive: true });
  mkdirSync(join(context.directory, 'context'));
  writeFileSync(join(context.directory, 'archive.tar'), '');
  policy(context, [{ type: 'reject' }]);
});
test.after.each(async ({ registry, directory }) => {
  await registry.close();
  rmSync(directory, { recursive: true, force: true });
});

function policy({ directory }: Context, requirements: readonly object[]): void {
  writeFileSync(join(directory, '.config/containers/policy.json'), JSON.stringify({ default: requirements }));
}

/** Runs a command line in which IMAGE stands for the image in the registry and DIR for the temporary directory. */
function run({ registry, directory }: Context, line: string) {
  const [name = '', ...words] = line
    .replaceAll('IMAGE', `docker://${registry.address}/app:1`)
    .replaceAll('DIR', directory)
    .split(' ');
  const storage = [
    ['--root', join(directory, 'root')],
    ['--runroot', join(directory, 'run')],
    ['--storage-driver', 'vfs'],
  ].flat();
  const globals = name === 'skopeo' ? [] : storage;
  return runCaptured(TOOLS[name] as ToolSpec, [...globals, ...words], {
    environment: { HOME: directory, PATH: process.env.PATH, CONTAINERS_REGISTRIES_CONF: '/dev/null' },
    workingDirectory: directory,
  });
}

const everywhere = [
  'skopeo copy --src-tls-verify=false IMAGE dir:DIR/out',
  'skopeo copy --all --src-tls-verify=false IMAGE oci:DIR/out',
  'skopeo sync --src-tls-verify=false --src docker --dest dir REPOSITORY DIR/out',
  'slipway cat --tls-verify=false IMAGE /file',
  'slipway ls --tls-verify=false IMAGE',
  'slipway diff --tls-verify=false IMAGE IMAGE',
  'slipway artifact pull --tls-verify=false -o DIR/out IMAGE',
  'buildah source pull --tls-verify=false PLAIN DIR/out',
];
const storing = [
  'buildah pull --tls-verify=false IMAGE',
  'buildah from --tls-verify=false IMAGE',
  'buildah build --tls-verify=false -f FROM.containerfile DIR/context',
  'buildah build --tls-verify=false -f COPY.containerfile DIR/context',
  'buildah build --tls-verify=false -f MOUNT.containerfile DIR/context',
];

for (const line of process.getuid?.() === 0 ? [...everywhere, ...storing] : everywhere)
  test(`refused: ${line}`, async (context) => {
    const { registry, directory } = context;
    const plain = `${registry.address}/app:1`;
    for (const [file, text] of [
      ['FROM', `FROM ${plain}`],
      ['COPY', `FROM scratch\nCOPY --from=${plain} / /`],
      ['MOUNT', `FROM scratch\nRUN --mount=type=bind,from=${plain},target=/m true`],
    ])
      writeFileSync(join(directory, `${file}.containerfile`), `${text}\n`);
    if (line.includes('source pull')) await seedSource(registry);
    const result = await run(
      context,
      line.replace('REPOSITORY', `${registry.address}/app`).replace('PLAIN', plain),
    );
    assert.notEqual(result.code, 0);
    assert.match(result.stderr, REJECTED);
    // A build names its steps before it takes them.
    if (!line.startsWith('buildah build')) assert.equal(result.stdout, '');
    const left = ['out', 'root/vfs-images', 'root/vfs-layers', 'root/vfs/dir'].flatMap((place) =>
      existsSync(join(directory, place))
        ? readdirSync(join(directory, place), { recursive: true, encoding: 'utf8' })
        : [],
    );
    assert.deepEqual(
      left.map(String).filter((name) => /[0-9a-f]{64}|manifest|file/.test(name)),
      [],
    );
  });

async function seedSource(registry: TestRegistry): Promise<void> {
  const { seedBlob, seedManifest } = await import('../../support/registry.ts');
  const mediaType = 'application/vnd.oci.source.image.config.v1+json';
  const text = '{}';
  const digest = await seedBlob(registry, 'app', text);
  await seedManifest(registry, 'app', '1', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType, digest, size: text.length },
    layers: [],
  });
}

test('refused: slipway load', async (context) => {
  const { directory } = context;
  const made = await run(
    context,
    `skopeo --insecure-policy copy --src-tls-verify=false IMAGE docker-archive:${directory}/a.tar:reg.example/a:1`,
  );
  assert.equal(made.code, 0, made.stderr);
  const loaded = await run(context, `slipway load -q -i ${directory}/a.tar`);
  assert.notEqual(loaded.code, 0);
  assert.match(loaded.stderr, REJECTED);
});

for (const line of everywhere.filter((one) => one.startsWith('slipway')))
  test(`--require-signed: ${line}`, async (context) => {
    policy(context, [{ type: 'insecureAcceptAnything' }]);
    const result = await run(context, line.replace('--tls-verify', '--require-signed --tls-verify'));
    assert.notEqual(result.code, 0);
    assert.match(result.stderr, /No signature verification policy found for image/);
  });

for (const [name, make] of [
  [
    'a typo in a type',
    (path: string) => writeFileSync(path, '{"default":[{"type":"insecureAcceptAnythign"}]}'),
  ],
  ['an unknown key', (path: string) => writeFileSync(path, '{"default":[{"type":"reject"}],"transport":{}}')],
  [
    'a duplicate key',
    (path: string) =>
      writeFileSync(path, '{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}'),
  ],
  ['a directory', (path: string) => mkdirSync(path)],
] as const)
  test(`an unusable policy refuses every image: ${name}`, async (context) => {
    const path = join(context.directory, '.config/containers/policy.json');
    rmSync(path);
    make(path);
    const result = await run(context, 'slipway ls --tls-verify=false IMAGE');
    assert.equal(result.code, 1);
    assert.match(result.stderr, /Error loading trust policy/);
  });

test.run();
