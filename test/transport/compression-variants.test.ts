import { deepEqual, equal, rejects } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { type ImageIndex, parseManifest } from '../../image/manifest.ts';
import { type CopyOptions, copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import { ANYTHING, contextFor, writeIndexLayout } from '../support/layout.ts';

const test = suite<{ directory: string }>('images of an index in further compressions');
const PLATFORMS = [
  { os: 'linux', architecture: 'amd64' },
  { os: 'linux', architecture: 'arm64' },
];
test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'variants-'));
  writeIndexLayout(join(state.directory, 'a'), 'x', PLATFORMS);
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

async function copy(directory: string, from: string, to: string, options: Partial<CopyOptions> = {}) {
  const parse = (text: string) => parseImageReference(text, { workingDirectory: directory });
  const context = { ...contextFor(directory), directoryLayerCompression: 'compress' as const };
  const { manifest } = await copyImage(ANYTHING, await parse(from), await parse(to), {
    source: context,
    destination: context,
    select: 'all',
    ...options,
  });
  return parseManifest(manifest.bytes) as ImageIndex;
}

const summary = ({ manifests }: ImageIndex) =>
  manifests.map(({ platform, annotations }) => [
    platform?.architecture,
    annotations?.['io.github.containers.compression.zstd'],
  ]);

test('each platform gets one that is marked, behind the others, and only once', async ({ directory }) => {
  const expected = [
    ['amd64', undefined],
    ['arm64', undefined],
    ['amd64', 'true'],
    ['arm64', 'true'],
  ];
  const first = await copy(directory, 'oci:a:x', 'dir:b', { addCompressions: ['zstd'] });
  deepEqual(summary(first), expected);
  const parse = await parseImageReference('dir:b', { workingDirectory: directory });
  await using source = await parse.openSource(contextFor(directory));
  for (const [at, entry] of first.manifests.entries()) {
    const manifest = parseManifest((await source.getManifest(entry.digest)).bytes);
    const isZstd =
      manifest.kind === 'image' && manifest.layers.every(({ mediaType }) => /zstd$/.test(mediaType));
    equal(isZstd, at > 1, `image ${at}`);
  }
  deepEqual(
    summary(await copy(directory, 'dir:b', 'dir:c', { addCompressions: ['zstd', 'gzip'] })),
    expected,
  );
});

test('a Docker list becomes an OCI index, where marks can stand', async ({ directory }) => {
  await copy(directory, 'oci:a:x', 'dir:docker', { format: 'docker' });
  const index = await copy(directory, 'dir:docker', 'dir:b', { addCompressions: ['zstd'] });
  deepEqual(
    [index.format, summary(index).map(([, mark]) => mark)],
    ['oci', [undefined, undefined, 'true', 'true']],
  );
});

test('an index that may not change, or must not be of OCI, is not added to', async ({ directory }) => {
  for (const options of [{ preserveDigests: true }, { format: 'docker' as const }])
    await rejects(copy(directory, 'oci:a:x', 'dir:no', { addCompressions: ['zstd'], ...options }), {
      code: 'bad-option',
    });
});

test.run();
