import { deepEqual, equal, rejects } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { artifactManifest, attachArtifact, pullArtifact, pushArtifact } from '../../artifact/index.ts';
import { digestOf } from '../../image/digest.ts';
import { parseManifest } from '../../image/manifest.ts';
import type { TransportContext } from '../../transport/contract.ts';
import { parseImageReference } from '../../transport/references.ts';

const ACCEPT = { admit: async () => undefined };

const test = suite<{ directory: string }>('artifacts');
test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'artifact-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const contextIn = (directory: string): TransportContext => ({
  platform: { os: 'linux', architecture: 'amd64' },
  temporaryDirectory: directory,
});
const layout = (directory: string, selector = ':v1') =>
  parseImageReference(`oci:${join(directory, 'layout')}${selector}`, { workingDirectory: directory });

test('files and directories go out and come back the same', async ({ directory }) => {
  mkdirSync(join(directory, 'docs/deep'), { recursive: true });
  writeFileSync(join(directory, 'sbom.json'), '{"a":1}');
  writeFileSync(join(directory, 'docs/deep/x.txt'), 'deep');
  writeFileSync(join(directory, 'docs/y.txt'), 'y');
  const pushed = await pushArtifact(
    await layout(directory),
    [
      { path: join(directory, 'sbom.json'), title: 'sbom.json', mediaType: 'application/json' },
      { path: join(directory, 'docs'), title: 'docs' },
    ],
    contextIn(directory),
    { artifactType: 'application/vnd.example' },
  );
  const out = join(directory, 'out');
  const pulled = await pullArtifact(ACCEPT, await layout(directory), contextIn(directory), {
    directory: out,
  });
  deepEqual(
    pulled.map((file) => file.path),
    [join(out, 'sbom.json'), join(out, 'docs')],
  );
  equal(readFileSync(join(out, 'sbom.json'), 'utf8'), '{"a":1}');
  equal(readFileSync(join(out, 'docs/deep/x.txt'), 'utf8'), 'deep');
  const again = await pushArtifact(
    await layout(directory, ':v2'),
    [
      { path: join(directory, 'sbom.json'), title: 'sbom.json', mediaType: 'application/json' },
      { path: join(directory, 'docs'), title: 'docs' },
    ],
    contextIn(directory),
    { artifactType: 'application/vnd.example' },
  );
  equal(again.digest, pushed.digest);
});

test('an attached artifact names its subject', async ({ directory }) => {
  writeFileSync(join(directory, 'a'), 'a');
  const image = await pushArtifact(
    await layout(directory),
    [{ path: join(directory, 'a'), title: 'a' }],
    contextIn(directory),
  );
  const { subject, manifest } = await attachArtifact(
    await layout(directory),
    [{ path: join(directory, 'a'), title: 'sig' }],
    contextIn(directory),
    { artifactType: 'application/vnd.sig' },
  );
  equal(subject.digest, image.digest);
  const child = await layout(directory, `:@${manifest.digest}`);
  await using source = await child.openSource(contextIn(directory));
  const { bytes } = await source.getManifest();
  equal(digestOf(bytes), manifest.digest);
  const parsed = parseManifest(bytes);
  equal(parsed.kind === 'image' && parsed.subject?.digest, image.digest);
});

for (const title of ['../outside', '/etc/outside', 'a/../../outside', '..', 'x\0y']) {
  test(`a title may not lead outside: ${JSON.stringify(title)}`, async ({ directory }) => {
    writeFileSync(join(directory, 'a'), 'a');
    await pushArtifact(
      await layout(directory),
      [{ path: join(directory, 'a'), title }],
      contextIn(directory),
    );
    await rejects(
      pullArtifact(ACCEPT, await layout(directory), contextIn(directory), {
        directory: join(directory, 'out'),
      }),
      { code: 'unsafe-path' },
    );
  });
}

test('a link among the directories is not followed', async ({ directory }) => {
  writeFileSync(join(directory, 'a'), 'a');
  await pushArtifact(
    await layout(directory),
    [{ path: join(directory, 'a'), title: 'sub/a' }],
    contextIn(directory),
  );
  mkdirSync(join(directory, 'out'));
  mkdirSync(join(directory, 'elsewhere'));
  symlinkSync(join(directory, 'elsewhere'), join(directory, 'out/sub'));
  await rejects(
    pullArtifact(ACCEPT, await layout(directory), contextIn(directory), {
      directory: join(directory, 'out'),
    }),
    { code: 'unsafe-path' },
  );
});

test('an existing file stays with keepOldFiles', async ({ directory }) => {
  writeFileSync(join(directory, 'a'), 'a');
  await pushArtifact(
    await layout(directory),
    [{ path: join(directory, 'a'), title: 'a' }],
    contextIn(directory),
  );
  await rejects(
    pullArtifact(ACCEPT, await layout(directory), contextIn(directory), { directory, keepOldFiles: true }),
    { code: 'exists' },
  );
});

test('a blob with other bytes is refused and leaves nothing', async ({ directory }) => {
  writeFileSync(join(directory, 'a'), 'aaaa');
  await pushArtifact(
    await layout(directory),
    [{ path: join(directory, 'a'), title: 'a' }],
    contextIn(directory),
  );
  writeFileSync(join(directory, 'layout/blobs/sha256', digestOf('aaaa').slice(7)), 'bbbb');
  await rejects(
    pullArtifact(ACCEPT, await layout(directory), contextIn(directory), {
      directory: join(directory, 'out'),
    }),
  );
});

test('an artifact without files carries the empty layer', () => {
  const parsed = parseManifest(artifactManifest([], {}));
  equal(parsed.kind === 'image' && parsed.layers[0]?.size, 2);
});
test.run();
