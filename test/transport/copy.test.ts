import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { parseManifest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import type { AdmissionPolicy, ImageSigner, TransferEvent } from '../../transport/contract.ts';
import { type CopyOptions, copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import {
  ANYTHING,
  contextFor,
  nameImage,
  putBlob,
  putImage,
  SMALL_LAYERS,
  writeIndexLayout,
  writeLayout,
} from '../support/layout.ts';
import { tarOf } from '../support/tar.ts';

const test = suite<{ directory: string }>('copy');
test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'copy-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

type Options = Partial<Omit<CopyOptions, 'source' | 'destination'>> & {
  context?: object;
  policy?: AdmissionPolicy;
};

async function copy(directory: string, from: string, to: string, options: Options = {}) {
  const { context = {}, policy = ANYTHING, ...rest } = options;
  const parse = (text: string) => parseImageReference(text, { workingDirectory: directory });
  const own = contextFor(directory, context);
  return copyImage(policy, await parse(from), await parse(to), { source: own, destination: own, ...rest });
}

async function manifestAt(directory: string, name: string) {
  const reference = await parseImageReference(name, { workingDirectory: directory });
  await using source = await reference.openSource(contextFor(directory));
  return source.getManifest();
}

test('goes round all local transports; what needs no change keeps its bytes', async ({ directory }) => {
  const image = writeLayout(join(directory, 'a'), 'x');
  for (const [from, to] of [
    ['oci:a:x', 'oci:b:y'],
    ['oci:b:y', 'dir:c'],
    ['dir:c', 'oci-archive:d.tar:z'],
    ['oci-archive:d.tar:z', 'oci:e'],
  ] as const) {
    const result = await copy(directory, from, to);
    equal(result.digest, image.digest, `${from} -> ${to}`);
    deepEqual(Buffer.from((await manifestAt(directory, to)).bytes), image.manifest);
  }
  const docker = await copy(directory, 'oci:a:x', 'docker-archive:f.tar:example.com/app:1');
  equal(docker.manifest.mediaType, MEDIA_TYPE.dockerManifest);
  const back = await copy(directory, 'docker-archive:f.tar', 'oci:g:x');
  const manifest = parseManifest(back.manifest.bytes);
  ok(manifest.kind === 'image');
  deepEqual(
    manifest.layers.map(({ mediaType }) => mediaType),
    [MEDIA_TYPE.ociLayerGzip, MEDIA_TYPE.ociLayerGzip],
  );
  const first = readFileSync(join(directory, 'g/blobs/sha256', manifest.layers[0]!.digest.slice(7)));
  deepEqual(gunzipSync(first), SMALL_LAYERS[0]);
});

test('equal inputs give equal archives', async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  for (const [one, two] of [
    ['oci-archive:1.tar:x', 'oci-archive:2.tar:x'],
    ['docker-archive:3.tar:n:1', 'docker-archive:4.tar:n:1'],
  ] as const) {
    await copy(directory, 'oci:a:x', one);
    await copy(directory, 'oci:a:x', two);
    const bytes = (name: string) => readFileSync(join(directory, name.split(':')[1] as string));
    equal(digestOf(bytes(one)), digestOf(bytes(two)));
  }
});

test('says what Skopeo says, once for each blob', async ({ directory }) => {
  const image = writeLayout(join(directory, 'a'), 'x');
  const events: TransferEvent[] = [];
  await copy(directory, 'oci:a:x', 'dir:b', { onProgress: (event) => events.push(event) });
  const started = events.flatMap((event) =>
    event.type === 'started'
      ? [('text' in event && event.text) || `${event.what} ${event.descriptor?.digest}`]
      : [],
  );
  deepEqual(
    started.toSorted(),
    [
      'Getting image source signatures',
      'Writing manifest to image destination',
      `blob ${image.layers[0]!.digest}`,
      `blob ${image.layers[1]!.digest}`,
      `config ${image.configDigest}`,
    ].toSorted(),
  );
});

test('compresses, recompresses and decompresses as asked, with fitting labels', async ({ directory }) => {
  writeLayout(join(directory, 'plain'), 'x', { compression: 'none' });
  const types = async (from: string, to: string, options: Options = {}) => {
    const { manifest } = await copy(directory, from, to, options);
    const parsed = parseManifest(manifest.bytes);
    return parsed.kind === 'image' ? [...new Set(parsed.layers.map(({ mediaType }) => mediaType))] : [];
  };
  deepEqual(await types('oci:plain:x', 'oci:gz:x'), [MEDIA_TYPE.ociLayerGzip]);
  deepEqual(await types('oci:plain:x', 'oci:kept:x', { context: { ociAcceptUncompressedLayers: true } }), [
    MEDIA_TYPE.ociLayer,
  ]);
  deepEqual(await types('oci:gz:x', 'oci:zstd:x', { compression: { format: 'zstd' } }), [
    MEDIA_TYPE.ociLayerZstd,
  ]);
  const { manifest } = await copy(directory, 'oci:zstd:x', 'oci:chunked:x', {
    compression: { format: 'zstd:chunked' },
  });
  match(Buffer.from(manifest.bytes).toString(), /"io\.github\.containers\.zstd-chunked\.manifest-checksum"/);
  deepEqual(await types('oci:zstd:x', 'oci:gz2:x', { compression: { format: 'gzip', level: 9 } }), [
    MEDIA_TYPE.ociLayerGzip,
  ]);
  deepEqual(await types('oci:zstd:x', 'dir:out', { context: { directoryLayerCompression: 'decompress' } }), [
    MEDIA_TYPE.ociLayer,
  ]);
  deepEqual(await types('oci:gz:x', 'dir:docker', { format: 'docker' }), [MEDIA_TYPE.dockerLayerGzip]);
  await rejects(copy(directory, 'oci:plain:x', 'oci:no:x', { compression: { format: 'gzip', level: 12 } }), {
    code: 'bad-option',
  });
});

test('mislabelled layers are labelled with the compression that they have', async ({ directory }) => {
  const layout = join(directory, 'a');
  const bytes = SMALL_LAYERS[0] as Buffer;
  const image = putImage(layout, { layers: [bytes], compression: 'none' });
  const lying = JSON.parse(image.manifest.toString());
  lying.layers[0].mediaType = MEDIA_TYPE.ociLayerGzip;
  nameImage(layout, putBlob(layout, Buffer.from(JSON.stringify(lying))), 'x');
  const { manifest } = await copy(directory, 'oci:a:x', 'dir:b');
  const parsed = parseManifest(manifest.bytes);
  equal(parsed.kind === 'image' && parsed.layers[0]?.mediaType, MEDIA_TYPE.ociLayer);
});

test('a mislabelled layer keeps its label where digests must stay', async ({ directory }) => {
  const image = writeLayout(join(directory, 'a'), 'x', { compression: 'gzip' });
  const manifest = Buffer.from(image.manifest.toString().replaceAll('+gzip', ''));
  nameImage(join(directory, 'a'), putBlob(join(directory, 'a'), manifest), 'plain');
  equal(
    (await copy(directory, 'oci:a:plain', 'oci:b:x', { preserveDigests: true })).digest,
    digestOf(manifest),
  );
});

test('M05: wrong digest, wrong size, truncated and too long blobs stop the copy; nothing is visible', async ({
  directory,
}) => {
  const rows: [string, (path: string) => void, string][] = [
    ['changed', (path) => writeFileSync(path, gzipSync('other')), 'truncated'],
    ['cut', (path) => truncateSync(path, 20), 'truncated'],
    [
      'longer',
      (path) => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(1)])),
      'too-large',
    ],
    [
      'same size',
      (path) => writeFileSync(path, Buffer.alloc(readFileSync(path).length, 7)),
      'digest-mismatch',
    ],
  ];
  for (const [name, spoil, code] of rows) {
    const layout = join(directory, name);
    const image = writeLayout(layout, 'x');
    spoil(join(layout, 'blobs/sha256', image.layers[0]!.digest.slice(7)));
    for (const to of [
      `oci:${name}-oci:x`,
      `dir:${name}-dir`,
      `oci-archive:${name}.tar`,
      `docker-archive:${name}-docker.tar`,
    ]) {
      await rejects(
        copy(directory, `oci:${name}:x`, to),
        (error: { code: string }) => error.code.includes(code),
        `${name} -> ${to}`,
      );
      await rejects(manifestAt(directory, to), Error, `${to} is visible`);
    }
  }
  equal(
    readdirSync(directory).some((entry) => entry.endsWith('.tar') || entry.includes('.tmp-')),
    false,
  );
});

test('a plain layer that is not what the config says stops the copy', async ({ directory }) => {
  const wrong = { rootfs: { type: 'layers', diff_ids: [digestOf('x'), digestOf('y')] } };
  for (const compression of ['gzip', 'none', 'zstd'] as const) {
    writeLayout(join(directory, compression), 'x', { compression, config: wrong });
    await rejects(copy(directory, `oci:${compression}:x`, `docker-archive:${compression}.tar`), {
      code: 'digest-mismatch',
    });
  }
  await rejects(
    copy(directory, 'oci:none:x', 'oci:gz:x'),
    { code: 'digest-mismatch' },
    'compressing reads the plain bytes',
  );
});

test('M04: the manifest of a layout is checked against its index, sizes too', async ({ directory }) => {
  const layout = join(directory, 'a');
  const image = writeLayout(layout, 'x');
  writeFileSync(join(layout, 'blobs/sha256', image.digest.slice(7)), `${image.manifest} `);
  await rejects(copy(directory, 'oci:a:x', 'dir:b'), { code: 'digest-mismatch' });
  const other = join(directory, 'b');
  nameImage(other, { ...putImage(other), size: 3 }, 'x');
  await rejects(copy(directory, 'oci:b:x', 'dir:c'), { code: 'digest-mismatch' });
});

test('M01, M02, M05, M06, M09: hostile manifests are refused before a blob is asked for', async ({
  directory,
}) => {
  const good = putImage(join(directory, 'good'));
  const edit = (change: (json: { config: object; layers: object[] }) => void) => {
    const json = JSON.parse(good.manifest.toString());
    change(json);
    return JSON.stringify(json);
  };
  const rows: [string, string][] = [
    ['path', edit((json) => Object.assign(json.config, { digest: 'sha256:../../etc/passwd' }))],
    ['upper case', edit((json) => Object.assign(json.layers[0]!, { digest: `sha256:${'A'.repeat(64)}` }))],
    ['short', edit((json) => Object.assign(json.layers[0]!, { digest: 'sha256:abc' }))],
    [
      'unknown algorithm',
      edit((json) => Object.assign(json.layers[0]!, { digest: `blake3:${'a'.repeat(64)}` })),
    ],
    ['negative size', edit((json) => Object.assign(json.layers[0]!, { size: -1 }))],
    ['both', edit((json) => Object.assign(json, { manifests: [] }))],
    ['twice', good.manifest.toString().replace('"layers"', '"config":{},"layers"')],
    ['deep', `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`],
    ['no json', '<html>'],
  ];
  for (const [name, text] of rows) {
    const layout = join(directory, name);
    nameImage(layout, putBlob(layout, Buffer.from(text)), 'x');
    await rejects(copy(directory, `oci:${name}:x`, `dir:${name}-out`), { name: /Error/ }, name);
    equal(existsSync(join(directory, `${name}-out/manifest.json`)), false);
  }
});

test('a manifest over 4 MiB is refused', async ({ directory }) => {
  const layout = join(directory, 'a');
  nameImage(layout, putBlob(layout, Buffer.alloc(4 * 1024 * 1024 + 1, 0x20)), 'x');
  await rejects(copy(directory, 'oci:a:x', 'dir:b'), /exceeded maximum allowed size/);
});

const PLATFORMS = [
  { os: 'linux', architecture: 'amd64' },
  { os: 'linux', architecture: 'arm64' },
  { os: 'linux', architecture: 's390x' },
];

test('copies of an index the system image, all, none, or chosen platforms', async ({ directory }) => {
  const index = writeIndexLayout(join(directory, 'a'), 'x', PLATFORMS);
  const one = await copy(directory, 'oci:a:x', 'oci:one:x');
  equal(one.digest, index.images[0]!.digest);
  const all = await copy(directory, 'oci:a:x', 'dir:all', { select: 'all' });
  deepEqual([all.digest, all.images], [index.digest, 3]);
  const none = await copy(directory, 'oci:a:x', 'oci:none:x', { select: 'index-only' });
  deepEqual([none.digest, none.images, none.counts.moved], [index.digest, 0, 0]);
  const some = { platforms: [{ os: 'linux', architecture: 'arm64' }] };
  const sparse = await copy(directory, 'oci:a:x', 'oci:sparse:x', { select: some });
  deepEqual([sparse.digest, sparse.images], [index.digest, 1]);
  const stripped = await copy(directory, 'oci:a:x', 'oci:stripped:x', { select: some, sparse: 'strip' });
  const parsed = parseManifest(stripped.manifest.bytes);
  deepEqual(parsed.kind === 'index' && parsed.manifests.map(({ digest }) => digest), [
    index.images[1]!.digest,
  ]);
  await rejects(
    copy(directory, 'oci:a:x', 'oci:no:x', { select: { platforms: [{ os: 'plan9', architecture: '386' }] } }),
    { code: 'not-found' },
  );
  await rejects(copy(directory, 'oci:a:x', 'docker-archive:no.tar', { select: 'all' }), {
    code: 'unsupported',
  });
  await rejects(
    copy(directory, 'oci:a:x', 'oci:no2:x', { select: some, sparse: 'strip', preserveDigests: true }),
    { code: 'bad-option' },
  );
  const docker = await copy(directory, 'oci:a:x', 'dir:docker', { select: 'all', format: 'docker' });
  equal(docker.manifest.mediaType, MEDIA_TYPE.dockerList);
});

test('R11: an index that refers to itself or is nested too deep ends', async ({ directory }) => {
  const layout = join(directory, 'a');
  let child = putImage(layout) as { digest: string; size: number };
  let mediaType: string = MEDIA_TYPE.ociManifest;
  for (let depth = 0; depth < 12; depth += 1) {
    const index = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [{ mediaType, digest: child.digest, size: child.size }],
    };
    child = putBlob(layout, Buffer.from(JSON.stringify(index)));
    mediaType = MEDIA_TYPE.ociIndex;
  }
  nameImage(layout, child as never, 'x', MEDIA_TYPE.ociIndex);
  await rejects(copy(directory, 'oci:a:x', 'dir:b', { select: 'all' }), { code: 'bad-layout' });
});

test('a nested index is copied whole', async ({ directory }) => {
  const layout = join(directory, 'a');
  const inner = writeIndexLayout(layout, 'inner', PLATFORMS.slice(0, 2));
  const outer = putBlob(
    layout,
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPE.ociIndex,
        manifests: [{ mediaType: MEDIA_TYPE.ociIndex, digest: inner.digest, size: inner.bytes.length }],
      }),
    ),
  );
  nameImage(layout, outer, 'x', MEDIA_TYPE.ociIndex);
  const result = await copy(directory, 'oci:a:x', 'oci:b:x', { select: 'all' });
  deepEqual([result.digest, result.images], [outer.digest, 2]);
});

test('the policy sees exactly the bytes that are used, image by image, before anything else', async ({
  directory,
}) => {
  const index = writeIndexLayout(join(directory, 'a'), 'x', PLATFORMS);
  const seen: string[] = [];
  const policy: AdmissionPolicy = {
    async admit({ manifest }) {
      seen.push(digestOf(manifest.bytes));
    },
  };
  await copy(directory, 'oci:a:x', 'dir:b', { select: 'all', policy });
  deepEqual(
    seen,
    index.images.map(({ digest }) => digest),
  );
  const refusing: AdmissionPolicy = { admit: () => Promise.reject(new Error('no')) };
  await rejects(copy(directory, 'oci:a:x', 'dir:c', { policy: refusing }), /no/);
  equal(existsSync(join(directory, 'c')), false);
  await rejects(copy(directory, 'oci:a:x', 'dir:d', { policy: refusing, select: 'index-only' }), /no/);
});

test('a signer that cannot sign fails before anything is written', async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  const signer = {
    kind: 'simple',
    prepare: () => Promise.reject(new Error('no such key')),
    sign: () => Promise.reject(new Error('late')),
  } as const;
  await rejects(copy(directory, 'oci:a:x', 'dir:b', { signers: [signer] }), /no such key/);
  equal(existsSync(join(directory, 'b')), false);
  const fine = { ...signer, prepare: async () => {} };
  await rejects(
    copy(directory, 'oci:a:x', 'oci:c:x', { signers: [fine] }),
    { code: 'unsupported' },
    'oci holds no signatures',
  );
  equal(existsSync(join(directory, 'c')), false);
});

test('S18: signatures travel with dir:, freeze the manifest, and are refused where they cannot be held', async ({
  directory,
}) => {
  writeLayout(join(directory, 'a'), 'x', { compression: 'none' });
  const signer: ImageSigner = {
    kind: 'simple',
    prepare: async () => {},
    sign: async () => ({ kind: 'simple', bytes: Buffer.from([0x90, 1, 2]) }),
  };
  const identity = { domain: 'example.com', path: 'app', tag: '1' };
  await copy(directory, 'oci:a:x', 'dir:signed', { signers: [signer], signIdentity: identity });
  deepEqual([...readFileSync(join(directory, 'signed/signature-1'))], [0x90, 1, 2]);
  await copy(directory, 'dir:signed', 'dir:again');
  ok(existsSync(join(directory, 'again/signature-1')));
  await rejects(copy(directory, 'dir:signed', 'oci:c:x'), { code: 'unsupported' });
  await rejects(copy(directory, 'dir:signed', 'dir:d', { format: 'docker' }), { code: 'bad-option' });
  await copy(directory, 'dir:signed', 'dir:e', { format: 'docker', removeSignatures: true });
  equal(existsSync(join(directory, 'e/signature-1')), false);
});

test('the same layer twice, no layers at all, and unknown artifacts pass', async ({ directory }) => {
  const layer = tarOf([{ name: 'a', body: 'a' }]);
  writeLayout(join(directory, 'twice'), 'x', { layers: [layer, layer] });
  writeLayout(join(directory, 'none'), 'x', { layers: [] });
  for (const name of ['twice', 'none'])
    for (const to of ['dir', 'oci-archive', 'docker-archive'])
      await copy(directory, `oci:${name}:x`, `${to}:${name}-${to}`);
  const layout = join(directory, 'artifact');
  const config = { mediaType: MEDIA_TYPE.ociEmpty, ...putBlob(layout, Buffer.from('{}')) };
  const layers = [{ mediaType: 'text/plain', ...putBlob(layout, Buffer.from('text')) }];
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      artifactType: 'x/y',
      config,
      layers,
    }),
  );
  nameImage(layout, putBlob(layout, bytes), 'x');
  equal((await copy(directory, 'oci:artifact:x', 'dir:artifact-dir')).digest, digestOf(bytes));
  await rejects(copy(directory, 'oci:artifact:x', 'docker-archive:artifact.tar'), {
    code: 'unsupported-conversion',
  });
});

test('an abort in the middle leaves nothing visible, and the next run uses what is there', async ({
  directory,
}) => {
  writeLayout(join(directory, 'a'), 'x');
  const controller = new AbortController();
  let blobs = 0;
  const onProgress = (event: TransferEvent) => {
    if (event.type === 'done' && event.what === 'blob') {
      blobs += 1;
      controller.abort(new Error('stop'));
    }
  };
  await rejects(
    copy(directory, 'oci:a:x', 'oci:b:x', { signal: controller.signal, onProgress, parallelBlobs: 1 }),
    /stop/,
  );
  equal(blobs, 1);
  equal(existsSync(join(directory, 'b/index.json')), false);
  equal(
    readdirSync(join(directory, 'b')).some((name) => name.startsWith('.oci-put')),
    false,
  );
  const again = await copy(directory, 'oci:a:x', 'oci:b:x');
  equal(again.counts.present, 1);
});

test('a full disk or an unwritable place names the path and leaves no half image', async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  writeFileSync(join(directory, 'file'), 'x');
  await rejects(copy(directory, 'oci:a:x', 'oci:file/below:x'), /file/);
  mkdirSync(join(directory, 'foreign'));
  writeFileSync(join(directory, 'foreign/important'), 'x');
  await rejects(copy(directory, 'oci:a:x', 'dir:foreign'), { code: 'exists' });
  await rejects(copy(directory, 'oci:a:x', 'oci-archive:foreign'), /is a directory/);
  const message = await copy(directory, 'oci:nowhere:x', 'dir:b').catch((error: Error) => error.message);
  match(String(message), /initializing source oci:nowhere:x: open .*nowhere\/index\.json: no such file/);
});

test.run();
