import { deepEqual, equal, throws } from 'node:assert/strict';
import { suite } from 'uvu';
import type { Descriptor } from '../../image/descriptor.ts';
import { digestOf } from '../../image/digest.ts';
import { MEDIA_TYPE } from '../../image/media-type.ts';
import { type PlanInput, planImage } from '../../transport/plan.ts';

const test = suite('the plan of a copy');

const layer = (mediaType: string, more: Partial<Descriptor> = {}): Descriptor => ({
  mediaType,
  digest: digestOf(mediaType),
  size: 10,
  ...more,
});
const ANY = { manifestTypes: [], layerCompression: 'preserve', acceptsForeignLayers: false } as const;
const OCI = {
  manifestTypes: [MEDIA_TYPE.ociManifest],
  layerCompression: 'compress',
  acceptsForeignLayers: true,
} as const;
const ARCHIVE = {
  manifestTypes: [MEDIA_TYPE.dockerManifest],
  layerCompression: 'decompress',
  acceptsForeignLayers: false,
} as const;
const base: PlanInput = {
  mediaType: MEDIA_TYPE.ociManifest,
  layers: [layer(MEDIA_TYPE.ociLayerGzip)],
  destination: ANY,
};

test('manifest types: the own one first, schema 2 before schema 1', () => {
  const rows: [Partial<PlanInput>, string[], string][] = [
    [
      {},
      [
        MEDIA_TYPE.ociManifest,
        MEDIA_TYPE.dockerManifest,
        MEDIA_TYPE.dockerSchema1Signed,
        MEDIA_TYPE.dockerSchema1,
      ],
      'anything goes',
    ],
    [{ destination: OCI }, [MEDIA_TYPE.ociManifest], 'only oci'],
    [{ destination: ARCHIVE }, [MEDIA_TYPE.dockerManifest], 'only docker: converted'],
    [{ format: 'docker' }, [MEDIA_TYPE.dockerManifest], 'asked for'],
    [{ frozen: 'signed', destination: ARCHIVE }, [MEDIA_TYPE.ociManifest], 'frozen: as it is'],
    [
      { compression: { format: 'zstd' }, destination: { ...ANY, layerCompression: 'compress' } },
      [MEDIA_TYPE.ociManifest],
      'zstd is for oci alone',
    ],
    [{ encryptLayers: [] }, [MEDIA_TYPE.ociManifest], 'so is encryption'],
  ];
  for (const [change, types, reason] of rows)
    deepEqual(planImage({ ...base, ...change }).types, types, reason);
});

test('what happens to a layer', () => {
  const wish = (change: Partial<PlanInput>) => planImage({ ...base, ...change }).layers[0]!;
  equal(wish({}).wish, 'keep');
  equal(wish({ destination: OCI }).wish, 'compress');
  equal(wish({ destination: OCI }).recompress, false);
  equal(wish({ destination: OCI, compression: { format: 'zstd' } }).recompress, true);
  equal(wish({ destination: ARCHIVE }).wish, 'decompress');
  equal(wish({ destination: ARCHIVE, frozen: 'x' }).wish, 'keep');
  equal(wish({ destination: OCI, layers: [layer('application/vnd.in-toto+json')] }).wish, 'keep');
  equal(
    wish({ destination: OCI, layers: [layer(MEDIA_TYPE.ociForeignLayerGzip, { urls: ['https://x'] })] })
      .action,
    'keep-url',
  );
  equal(
    wish({ layers: [layer(MEDIA_TYPE.ociForeignLayerGzip, { urls: ['https://x'] })] }).action,
    'transfer',
  );
  equal(wish({ destination: OCI, compression: { format: 'zstd' }, forceCompression: true }).reuse, false);
  equal(wish({ destination: OCI, compression: { format: 'zstd' } }).reuse, true);
  const chunked = {
    compression: { format: 'zstd:chunked' },
    forceCompression: true,
    destination: OCI,
  } as const;
  equal(wish({ ...chunked, layers: [layer(MEDIA_TYPE.ociLayerZstd)] }).reuse, false);
  equal(wish({ encryptLayers: [] }).reuse, false);
});

test('encryption chooses layers from both ends and never zstd:chunked', () => {
  const layers = [1, 2, 3].map((at) => layer(MEDIA_TYPE.ociLayerGzip, { digest: digestOf(String(at)) }));
  const marked = (encryptLayers: number[]) =>
    planImage({ ...base, layers, encryptLayers }).layers.map(({ encrypt }) => encrypt);
  deepEqual(marked([]), [true, true, true]);
  deepEqual(marked([0, -1]), [true, false, true]);
  throws(() => marked([3]), { code: 'bad-option' });
  const plan = planImage({
    ...base,
    destination: OCI,
    encryptLayers: [],
    compression: { format: 'zstd:chunked' },
  });
  equal(plan.layers[0]!.compression.format, 'zstd');
});

test('a wish that a frozen manifest cannot follow is an error, not ignored', () => {
  const rows: Partial<PlanInput>[] = [
    { format: 'docker' },
    { destination: OCI, compression: { format: 'zstd' } },
    { encryptLayers: [] },
  ];
  for (const row of rows)
    throws(() => planImage({ ...base, frozen: 'Would invalidate signatures', ...row }), {
      code: 'bad-option',
    });
  planImage({ ...base, frozen: 'Would invalidate signatures', format: 'oci' });
  throws(() => planImage({ ...base, format: 'docker', compression: { format: 'zstd' }, destination: OCI }), {
    code: 'bad-option',
  });
});

test('schema 1 needs plain digests when it is converted, and every layer read for them', () => {
  const input = { ...base, mediaType: MEDIA_TYPE.dockerSchema1Signed, destination: OCI };
  const [first] = planImage(input).layers;
  equal(first!.needsDiffId, true);
  equal(first!.reuse, false);
});

test.run();
