import { deepEqual, equal, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import { parseImageConfig } from '../../image/config.ts';
import { convertImage, convertIndex, convertLayerType, ociConfigBytes } from '../../image/convert.ts';
import { digestOf } from '../../image/digest.ts';
import { goJsonText } from '../../image/go-json.ts';
import { type ImageManifest, manifestDigest, parseManifest } from '../../image/manifest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import {
  dockerToSchema1,
  EMPTY_LAYER,
  EMPTY_LAYER_DIGEST,
  schema1Layers,
  schema1ToDocker,
} from '../../image/schema1.ts';
import { signSchema1 } from '../../image/schema1-signature.ts';
import { serializeIndex, serializeManifest } from '../../image/serialize.ts';

const test = suite('conversions of images');

const digest = (text: string) => digestOf(text);
const OCI: ImageManifest = {
  kind: 'image',
  format: 'oci',
  mediaType: MEDIA_TYPE.ociManifest,
  config: { mediaType: MEDIA_TYPE.ociConfig, digest: digest('config'), size: 6 },
  layers: [
    { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digest('1'), size: 1, annotations: { a: 'b' } },
    { mediaType: MEDIA_TYPE.ociForeignLayerGzip, digest: digest('2'), size: 2, urls: ['https://x'] },
  ],
  annotations: { z: '<&>', a: '1' },
};
const CONFIG = Buffer.from(
  JSON.stringify({
    created: '2020-01-01T00:00:00Z',
    architecture: 'amd64',
    os: 'linux',
    docker_version: '20',
    container: 'x',
    config: {
      Env: ['A=<b>'],
      Labels: { z: '1', '10': 'a', '9': 'b' },
      Cmd: null,
      OnBuild: ['RUN x'],
      Volumes: { '/v': {} },
    },
    rootfs: { type: 'layers', diff_ids: [digest('d1'), digest('d2')] },
    history: [{ created_by: 'one' }, { created_by: 'cmd', empty_layer: true }, { created_by: 'two' }],
  }),
);

test('writes JSON as Go does', () => {
  const rows: [unknown, string][] = [
    [{ b: 1, a: undefined, c: null }, '{"b":1,"c":null}'],
    [
      new Map([
        ['b', 1],
        ['a', 2],
        ['10', 3],
        ['9', 4],
      ]),
      '{"10":3,"9":4,"a":2,"b":1}',
    ],
    ['<a>&\u2028', '"\\u003ca\\u003e\\u0026\\u2028"'],
    [[{ '<': ['é', true, 1.5] }], '[{"\\u003c":["é",true,1.5]}]'],
  ];
  for (const [value, text] of rows) equal(goJsonText(value), text);
});

test('with an indent, as MarshalIndent: empty ones on one line, maps sorted, documents in place of what has one', () => {
  const map = new Map<string, unknown>([
    ['9', []],
    ['10', { a: {}, none: undefined }],
  ]);
  equal(
    goJsonText({ map, shown: { toJSON: () => [1] } }, '  '),
    '{\n  "map": {\n    "10": {\n      "a": {}\n    },\n    "9": []\n  },\n  "shown": [\n    1\n  ]\n}',
  );
});

test('oci to docker drops annotations and keeps the config; docker to oci keeps what oci knows', () => {
  const docker = convertImage(OCI, CONFIG, 'docker');
  equal(docker.config, undefined);
  deepEqual(
    docker.manifest.layers.map(({ mediaType }) => mediaType),
    [MEDIA_TYPE.dockerLayerGzip, MEDIA_TYPE.dockerForeignLayerGzip],
  );
  equal(docker.manifest.layers[0]!.annotations, undefined);
  const oci = convertImage(docker.manifest, CONFIG, 'oci');
  const text = Buffer.from(oci.config as Uint8Array).toString();
  equal(
    text,
    `{"created":"2020-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{"Env":["A=\\u003cb\\u003e"],"Volumes":{"/v":{}},"Labels":{"10":"a","9":"b","z":"1"}},"rootfs":{"type":"layers","diff_ids":["${digest('d1')}","${digest('d2')}"]},"history":[{"created_by":"one"},{"created_by":"cmd","empty_layer":true},{"created_by":"two"}]}`,
  );
  equal(oci.manifest.config.digest, digestOf(text));
  deepEqual(ociConfigBytes(parseImageConfig(oci.config as Uint8Array)), oci.config, 'a fixed point');
});

test('serializing is stable and parses back', () => {
  for (const manifest of [OCI, convertImage(OCI, CONFIG, 'docker').manifest]) {
    const parsed = parseManifest(serializeManifest(manifest));
    deepEqual(JSON.parse(JSON.stringify(parsed)), JSON.parse(JSON.stringify(manifest)));
  }
  const index = {
    kind: 'index',
    format: 'oci',
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: [
      {
        mediaType: MEDIA_TYPE.ociManifest,
        digest: digest('m'),
        size: 3,
        platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
      },
    ],
  } as const;
  deepEqual(parseManifest(serializeIndex(index)), index);
  const list = parseManifest(serializeIndex(convertIndex(index, 'docker')));
  equal(list.mediaType, MEDIA_TYPE.dockerList);
});

test('an encrypted layer stays marked as such', () => {
  equal(
    convertLayerType(`${MEDIA_TYPE.dockerLayerGzip}+encrypted`, 'oci'),
    `${MEDIA_TYPE.ociLayerGzip}+encrypted`,
  );
});

test('what the other format cannot name is an error', () => {
  for (const type of [
    MEDIA_TYPE.ociLayerZstd,
    `${MEDIA_TYPE.ociLayerGzip}+encrypted`,
    'text/plain',
    'application/vnd.in-toto+json',
  ])
    throws(() => convertLayerType(type, 'docker'), { code: 'unsupported-conversion' }, type);
  throws(() => convertImage({ ...OCI, config: { ...OCI.config, mediaType: 'x/y' } }, CONFIG, 'docker'), {
    code: 'unsupported-conversion',
  });
});

test('schema 1: there and back, signed as registries want it', () => {
  const docker = convertImage(OCI, CONFIG, 'docker').manifest;
  const { document, needsEmptyLayer } = dockerToSchema1(docker, CONFIG, { path: 'library/app', tag: '1' });
  equal(needsEmptyLayer, true);
  equal(digestOf(EMPTY_LAYER), EMPTY_LAYER_DIGEST);
  equal(EMPTY_LAYER_DIGEST, 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4');
  const one = signSchema1(document, '2020-01-01T00:00:00Z');
  const two = signSchema1(document, '2021-01-01T00:00:00Z');
  equal(manifestDigest(one), manifestDigest(two), 'the digest leaves the signature out');
  const parsed = parseManifest(one);
  if (parsed.kind !== 'schema1') throw new Error('not schema 1');
  deepEqual(
    [parsed.name, parsed.tag, parsed.mediaType],
    ['library/app', '1', MEDIA_TYPE.dockerSchema1Signed],
  );
  const layers = schema1Layers(parsed);
  deepEqual(
    layers.map(({ digest: own, empty }) => [own, empty]),
    [
      [digest('1'), false],
      [EMPTY_LAYER_DIGEST, true],
      [digest('2'), false],
    ],
  );
  const uploaded = layers.map((layer, at) => ({ digest: layer.digest, size: at, diffId: digest(`d${at}`) }));
  const back = schema1ToDocker(parsed, uploaded);
  const config = parseImageConfig(back.config);
  deepEqual(config.rootfs.diff_ids, [digest('d0'), digest('d2')]);
  deepEqual(
    config.history?.map(({ created_by, empty_layer }) => [created_by, empty_layer]),
    [
      ['one', undefined],
      ['cmd', true],
      [undefined, undefined],
    ],
  );
  equal(back.manifest.layers.length, 2);
});

test('schema 1 with broken ids, parents or counts is refused', () => {
  const entry = (id: string, parent?: string) => ({
    v1Compatibility: JSON.stringify({ id: id.repeat(64), parent: parent?.repeat(64) }),
  });
  const manifest = (history: { v1Compatibility: string }[], count = history.length) =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 1,
        name: 'a',
        tag: 'b',
        architecture: 'amd64',
        fsLayers: Array.from({ length: count }, () => ({ blobSum: digest('x') })),
        history,
      }),
    );
  const layers = (bytes: Buffer) => {
    const parsed = parseManifest(bytes);
    if (parsed.kind !== 'schema1') throw new Error('not schema 1');
    return schema1Layers(parsed);
  };
  equal(layers(manifest([entry('b', 'a'), entry('a')])).length, 2);
  equal(
    layers(manifest([entry('b', 'a'), entry('b', 'a'), entry('a')])).length,
    2,
    'a repeated id is dropped',
  );
  for (const [bytes, reason] of [
    [manifest([entry('b', 'c'), entry('a')]), 'wrong parent'],
    [manifest([entry('a', 'b')]), 'the base has a parent'],
    [manifest([entry('a', 'b'), entry('b', 'a'), entry('a')]), 'an id twice'],
    [manifest([entry('x')]), 'no hexadecimal id'],
    [manifest([]), 'empty'],
    [manifest([entry('a')], 2), 'counts'],
  ] as const)
    throws(() => layers(bytes), { code: 'bad-manifest' }, reason);
  throws(() => dockerToSchema1(OCI, Buffer.from('{"rootfs":{"type":"layers"}}'), { path: '', tag: '' }), {
    code: 'unsupported-conversion',
  });
});

test.run();
