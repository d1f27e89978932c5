import { deepEqual, equal, rejects } from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { parseReference } from '../../image/reference.ts';
import { copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import { listTags } from '../../transport/tags.ts';
import { ANYTHING, contextFor, SMALL_LAYERS, writeLayout } from '../support/layout.ts';
import { type TarEntry, tarOf } from '../support/tar.ts';

const test = suite<{ directory: string }>('docker-archive');
test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'archive-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const parse = (directory: string, text: string) => parseImageReference(text, { workingDirectory: directory });
async function copy(directory: string, from: string, to: string, more = {}) {
  const context = contextFor(directory, more);
  return copyImage(ANYTHING, await parse(directory, from), await parse(directory, to), {
    source: context,
    destination: context,
  });
}

/** An archive as `docker save` writes it, with changes. */
function archive(
  path: string,
  images: { config?: object; tags?: string[]; layers: readonly Buffer[]; paths?: string[] }[],
  more: TarEntry[] = [],
  manifest?: string,
): void {
  const entries: TarEntry[] = [];
  const items = images.map(({ config, tags, layers, paths }, at) => {
    const text = JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => digestOf(layer)) },
      ...config,
    });
    entries.push({ name: `${at}.json`, body: text });
    for (const [index, layer] of layers.entries())
      if (!paths) entries.push({ name: `${at}-${index}/layer.tar`, body: layer });
    return {
      Config: `${at}.json`,
      RepoTags: tags ?? null,
      Layers: paths ?? layers.map((_, index) => `${at}-${index}/layer.tar`),
    };
  });
  writeFileSync(
    path,
    tarOf([...entries, ...more, { name: 'manifest.json', body: manifest ?? JSON.stringify(items) }]),
  );
}

test('several images in one archive are found by tag and position', async ({ directory }) => {
  const path = join(directory, 'a.tar');
  const [one, two] = SMALL_LAYERS as [Buffer, Buffer];
  archive(path, [
    { tags: ['busybox:1', 'example.com/x:2'], layers: [one] },
    { tags: ['other:3'], layers: [one, two] },
    { layers: [two] },
  ]);
  deepEqual(await listTags(await parse(directory, 'docker-archive:a.tar'), contextFor(directory)), [
    'busybox:1',
    'example.com/x:2',
    'other:3',
    '@2',
  ]);
  const layers = async (text: string) => {
    const { manifest } = await copy(directory, text, `dir:${text.replace(/\W/g, '')}`);
    return JSON.parse(Buffer.from(manifest.bytes).toString()).layers.length;
  };
  equal(await layers('docker-archive:a.tar:docker.io/library/busybox:1'), 1);
  equal(await layers('docker-archive:a.tar:example.com/x:2'), 1);
  equal(await layers('docker-archive:a.tar:@1'), 2);
  const reference = await parse(directory, 'docker-archive:a.tar:@1');
  await using source = await reference.openSource(contextFor(directory));
  const { manifest } = await copy(directory, 'docker-archive:a.tar:@1', 'dir:same');
  deepEqual(
    Buffer.from(manifest.bytes),
    Buffer.from((await source.getManifest()).bytes),
    'one digest everywhere',
  );
  await rejects(copy(directory, 'docker-archive:a.tar', 'dir:x'), /expected 1 item, got 3/);
  await rejects(
    copy(directory, 'docker-archive:a.tar:none', 'dir:x'),
    /Tag "docker.io\/library\/none:latest" not found/,
  );
  await rejects(copy(directory, 'docker-archive:a.tar:@9', 'dir:x'), /only 3 manifest items available/);
});

test('compressed archives, compressed layers, linked and repeated layers are read', async ({ directory }) => {
  const [one] = SMALL_LAYERS as [Buffer, Buffer];
  const path = join(directory, 'a.tar');
  archive(
    path,
    [{ layers: [one, one], paths: ['x/layer.tar', 'y/layer.tar'] }],
    [
      { name: 'x/layer.tar', body: one },
      { name: 'y/layer.tar', linkname: '../x/layer.tar' },
    ],
  );
  writeFileSync(join(directory, 'a.tar.gz'), gzipSync(readFileSync(path)));
  const plain = await copy(directory, 'docker-archive:a.tar', 'oci:a:x');
  const packed = await copy(directory, 'docker-archive:a.tar.gz', 'oci:b:x');
  equal(plain.digest, packed.digest);
  archive(path, [{ layers: [one], paths: ['x/layer.tar'] }], [{ name: 'x/layer.tar', body: gzipSync(one) }]);
  await copy(directory, 'docker-archive:a.tar', 'oci:c:x');
  equal(
    readdirSync(directory).some((name) => name.startsWith('slipway-')),
    false,
    'temporary copies are gone',
  );
});

test('M08: names in an archive choose nothing but an image, and only well-formed ones', async ({
  directory,
}) => {
  const path = join(directory, 'named.tar');
  const [layer] = SMALL_LAYERS as [Buffer, Buffer];
  for (const tag of ['../../etc/passwd:1', 'UPPER:1', `app@${digestOf('x')}`, 'app:../1', '', '\u001b[2J']) {
    archive(path, [{ layers: [layer], tags: [tag, 'app:1'] }]);
    await rejects(copy(directory, `docker-archive:${path}:app:2`, 'dir:never'));
    equal(existsSync(join(directory, 'never')), false);
    equal((await copy(directory, `docker-archive:${path}`, `dir:unnamed`)).images, 1);
  }
});

test('T21: members that lead outside, missing and doubled things are contained', async ({ directory }) => {
  const [one, two] = SMALL_LAYERS as [Buffer, Buffer];
  writeFileSync(join(directory, 'secret'), one);
  const path = join(directory, 'a.tar');
  const rows: [string, () => void, RegExp | { code: string }][] = [
    [
      'link outside',
      () =>
        archive(
          path,
          [{ layers: [one], paths: ['x'] }],
          [{ name: 'x', linkname: join(directory, 'secret') }],
        ),
      /is missing/,
    ],
    ['path outside', () => archive(path, [{ layers: [one], paths: ['../secret'] }]), /is missing/],
    [
      'link to link',
      () =>
        archive(
          path,
          [{ layers: [one], paths: ['x'] }],
          [
            { name: 'x', linkname: 'y' },
            { name: 'y', linkname: 'z' },
            { name: 'z', body: one },
          ],
        ),
      /is missing/,
    ],
    [
      'one file, two diffIDs',
      () => archive(path, [{ layers: [one, two], paths: ['x', 'x'] }], [{ name: 'x', body: one }]),
      /two different DiffID values/,
    ],
    [
      'wrong layer',
      () => archive(path, [{ layers: [one], paths: ['x'] }], [{ name: 'x', body: two }]),
      { code: 'digest-mismatch' },
    ],
    [
      'count',
      () => archive(path, [{ layers: [one], paths: ['x', 'x'] }], [{ name: 'x', body: one }]),
      /Inconsistent layer count/,
    ],
    ['no manifest', () => writeFileSync(path, tarOf([{ name: 'x' }])), /manifest.json/],
    ['bad json', () => archive(path, [], [], '[{'), /decoding tar manifest.json/],
    ['not a list', () => archive(path, [], [], '{}'), /not an array/],
    ['no config', () => archive(path, [], [], '[{"Config":"none.json","Layers":[]}]'), /none.json/],
    ['bad tag', () => archive(path, [{ tags: ['x/UP:1'], layers: [one] }]), /Invalid tag/],
    [
      'huge manifest',
      () => archive(path, [], [], ' '.repeat(1024 * 1024 + 1)),
      /exceeded maximum allowed size/,
    ],
    ['garbage', () => writeFileSync(path, Buffer.alloc(4096, 0x41)), { code: 'bad-archive' }],
    [
      'truncated',
      () => {
        archive(path, [{ layers: [one] }]);
        truncateSync(path, 3000);
      },
      { code: 'bad-archive' },
    ],
  ];
  for (const [name, make, expected] of rows) {
    rmSync(path, { force: true });
    make();
    await rejects(
      copy(
        directory,
        `docker-archive:a.tar${name === 'bad tag' ? ':x:1' : ''}`,
        `dir:${name.replace(/\W/g, '')}`,
      ),
      expected as never,
      name,
    );
  }
});

test('the first of equal members counts', async ({ directory }) => {
  const [one, two] = SMALL_LAYERS as [Buffer, Buffer];
  archive(
    join(directory, 'a.tar'),
    [{ layers: [one], paths: ['x'] }],
    [
      { name: 'x', body: one },
      { name: './x', body: two },
    ],
  );
  await copy(directory, 'docker-archive:a.tar', 'dir:b');
});

test('an archive has names, old directories, and is not written over', async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  await copy(directory, 'oci:a:x', 'docker-archive:b.tar:example.com/app:1', {
    additionalTags: [parseReference('other:2')],
  });
  deepEqual(await listTags(await parse(directory, 'docker-archive:b.tar'), contextFor(directory)), [
    'example.com/app:1',
    'docker.io/library/other:2',
  ]);
  const { ArchiveMembers } = await import('../../transport/archive/members.ts');
  await using members = await ArchiveMembers.open(join(directory, 'b.tar'));
  const names = [...members.names];
  equal(names.filter((name) => name.endsWith('/layer.tar')).length, 2);
  equal(
    members.find(names.find((name) => name.endsWith('/layer.tar')) as string)?.kind,
    'file',
    'links are followed',
  );
  const repositories = JSON.parse(Buffer.from(await members.readDocument('repositories', 1e6)).toString());
  deepEqual(Object.keys(repositories), ['docker.io/library/other', 'example.com/app']);
  await rejects(copy(directory, 'oci:a:x', 'docker-archive:b.tar'), {
    code: 'exists',
    message: /doesn't support modifying existing images/,
  });
  await rejects(copy(directory, 'oci:a:x', 'docker-archive:c.tar:@0'), /must not contain a manifest index/);
});

test.run();
