import { deepEqual, equal, rejects } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { Header } from 'tar';
import { suite } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { MEDIA_TYPE } from '../../../image/media-type.ts';
import type { TransportContext } from '../../../transport/contract.ts';
import { compareFiles, listImageFiles, readImageFile } from '../../../transport/look/files.ts';
import { type LookedAtImage, lookAtImage } from '../../../transport/look/image.ts';
import { describeContent } from '../../../transport/look/tree.ts';
import { parseImageReference } from '../../../transport/references.ts';

interface Item {
  readonly path: string;
  readonly type?: 'File' | 'Directory' | 'SymbolicLink' | 'Link';
  readonly text?: string;
  readonly target?: string;
}

function tarOf(items: readonly Item[]): Buffer {
  const parts = items.map(({ path, type = 'File', text = '', target }) => {
    const block = Buffer.alloc(512);
    new Header({
      path,
      type,
      size: text.length,
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: new Date(0),
      ...(target ? { linkpath: target } : {}),
    }).encode(block);
    return Buffer.concat([block, Buffer.from(text), Buffer.alloc((512 - (text.length % 512)) % 512)]);
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

const LAYERS: readonly (readonly Item[])[] = [
  [
    { path: 'etc/', type: 'Directory' },
    { path: 'etc/name', text: 'base' },
    { path: 'etc/gone', text: 'x' },
    { path: 'lib', type: 'SymbolicLink', target: 'usr/lib' },
    { path: 'usr/lib/a.so', text: 'elf' },
    { path: 'opq/old', text: 'o' },
  ],
  [
    { path: './etc/name', text: 'changed' },
    { path: 'etc/.wh.gone' },
    { path: 'opq/.wh..wh..opq' },
    { path: 'opq/new', text: 'n' },
    { path: 'hard', type: 'Link', target: 'etc/name' },
    { path: 'loop', type: 'SymbolicLink', target: '/loop' },
  ],
];

const test = suite<{
  directory: string;
  image: LookedAtImage;
  context: TransportContext;
  close: () => Promise<void>;
}>('looking into images');
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'look-'));
  mkdirSync(join(state.directory, 'blobs/sha256'), { recursive: true });
  const put = (bytes: Buffer) => {
    writeFileSync(join(state.directory, 'blobs/sha256', digestOf(bytes).slice(7)), bytes);
    return { digest: digestOf(bytes), size: bytes.length };
  };
  const tars = LAYERS.map(tarOf);
  const config = put(
    Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: tars.map((tar) => digestOf(tar)) },
        history: [
          { created_by: 'first' },
          { created_by: 'meta', empty_layer: true },
          { created_by: 'second' },
        ],
      }),
    ),
  );
  const layers = [
    { mediaType: MEDIA_TYPE.ociLayerGzip, ...put(gzipSync(tars[0] as Buffer)) },
    { mediaType: MEDIA_TYPE.ociLayerZstd, ...put(zstdCompressSync(tars[1] as Buffer)) },
  ];
  const manifest = put(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociManifest,
        config: { mediaType: MEDIA_TYPE.ociConfig, ...config },
        layers,
      }),
    ),
  );
  writeFileSync(join(state.directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(state.directory, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: MEDIA_TYPE.ociManifest,
          ...manifest,
          annotations: { 'org.opencontainers.image.ref.name': 'v1' },
        },
      ],
    }),
  );
  state.context = { platform: { os: 'linux', architecture: 'amd64' }, temporaryDirectory: state.directory };
  const reference = await parseImageReference(`oci:${state.directory}:v1`, { workingDirectory: '/' });
  const source = await reference.openSource(state.context);
  state.close = async () => await source[Symbol.asyncDispose]();
  state.image = await lookAtImage({ admit: async () => undefined }, source, state.context);
});
test.after.each(async ({ directory, close }) => {
  await close();
  rmSync(directory, { recursive: true, force: true });
});

async function cat(image: LookedAtImage, path: string): Promise<string> {
  const output = new PassThrough();
  await readImageFile(image, path, output);
  return String(output.read());
}

test('files after all whiteouts', async ({ image }) => {
  const files = await listImageFiles(image);
  deepEqual([...files.keys()].sort(), ['etc', 'etc/name', 'hard', 'lib', 'loop', 'opq/new', 'usr/lib/a.so']);
  equal(files.get('etc/name')?.layerIndex, 1);
});
for (const [path, text] of [
  ['/etc/name', 'changed'],
  ['usr/lib/a.so', 'elf'],
  ['/lib/a.so', 'elf'],
  ['/hard', 'changed'],
  ['../../etc/name', 'changed'],
  ['/opq/new', 'n'],
] as const) {
  test(`content of ${path}`, async ({ image }) => equal(await cat(image, path), text));
}
for (const [path, code] of [
  ['/etc/gone', 'not-found'],
  ['/opq/old', 'not-found'],
  ['/none', 'not-found'],
  ['/loop', 'unsupported'],
  ['/etc', 'unsupported'],
] as const) {
  test(`no content of ${path}`, async ({ image }) => await rejects(cat(image, path), { code }));
}
test('changes between two trees', async ({ image }) => {
  const after = await listImageFiles(image);
  const before = await listImageFiles({ ...image, layers: image.layers.slice(0, 1) });
  deepEqual(
    compareFiles(before, after).map(({ kind, path }) => `${kind} ${path}`),
    ['D /etc/gone', 'C /etc/name', 'A /hard', 'A /loop', 'A /opq/new', 'D /opq/old'],
  );
});
test('the tree of content names layers by the commands that made them', async ({ directory, context }) => {
  const node = await describeContent(
    await parseImageReference(`oci:${directory}:v1`, { workingDirectory: '/' }),
    context,
  );
  equal(node.role, 'manifest');
  deepEqual(
    node.children.map((child) => [child.role, child.note]),
    [
      ['config', undefined],
      ['layer', 'first'],
      ['layer', 'second'],
    ],
  );
});
test('a truncated layer is an error', async ({ image, directory }) => {
  const layer = image.layers[0] as { digest: string };
  writeFileSync(
    join(directory, 'blobs/sha256', layer.digest.slice(7)),
    gzipSync(tarOf(LAYERS[0] as Item[])).subarray(0, 60),
  );
  await rejects(listImageFiles(image));
});
test('a layer with other bytes is an error, also where the file was found before its end', async ({
  image,
  directory,
}) => {
  const layer = image.layers[1] as { digest: string };
  const [first, ...rest] = LAYERS[1] as Item[];
  const wrong = gzipSync(tarOf([{ ...(first as Item), text: 'spoofed' }, ...rest, { path: 'more' }]));
  writeFileSync(join(directory, 'blobs/sha256', layer.digest.slice(7)), wrong);
  await rejects(listImageFiles(image), /content|larger|ends/);
  const output = new PassThrough().resume();
  await rejects(readImageFile(image, 'etc/name', output), /content|larger|ends/);
});
test('an encrypted layer is named as such', async ({ image }) => {
  const layers = image.layers.map((layer) => ({ ...layer, mediaType: `${layer.mediaType}+encrypted` }));
  await rejects(listImageFiles({ ...image, layers }), { code: 'unsupported', message: /is encrypted/ });
});
test.run();
