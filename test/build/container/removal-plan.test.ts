import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { type ImageDocuments, ImageFamily } from '../../../build/container/image-family.ts';
import { planRemovals, type RemoveImageOptions } from '../../../build/container/removal-plan.ts';
import { type Digest, digestOf } from '../../../image/digest.ts';
import { parseManifest } from '../../../image/manifest.ts';
import type { ImageRecord } from '../../../store/storage/contract.ts';

const test = suite('plans of image removals');

/** `step a` of `base`: id, history and layers, one step longer than those of its parent. */
interface Sample {
  readonly names?: string[];
  readonly steps: string;
  readonly layers?: string;
  readonly readOnly?: boolean;
  readonly lists?: string;
}

function stateOf(samples: Readonly<Record<string, Sample>>, used: string[] = []) {
  const images = new Map(
    Object.entries(samples).map(([id, { names = [], readOnly = false }]) => [
      id,
      recordOf(id, names, readOnly),
    ]),
  );
  const documentsOf = ({ id }: ImageRecord) => documents(samples[id] as Sample);
  const family = new ImageFamily(images.values(), documentsOf);
  const inUse = ({ id }: ImageRecord) => (used.includes(id) ? new Error(`${id} is in use`) : undefined);
  return { images, family, inUse };
}

function recordOf(id: string, names: string[], readOnly: boolean): ImageRecord {
  const digest = digestOf(id);
  return {
    ...{ id, names, readOnly, digest, namesHistory: [], metadata: '', created: '2024-01-01T00:00:00Z' },
    ...{ bigDataNames: [], bigDataSizes: {}, bigDataDigests: {} },
  };
}

function documents({ steps, layers = '', lists }: Sample): ImageDocuments {
  if (lists !== undefined) {
    const descriptor = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf(lists) };
    const index = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [{ ...descriptor, size: 2 }],
    };
    return { manifest: parseManifest(Buffer.from(JSON.stringify(index))) };
  }
  const history = [...steps].map((step) => ({ created_by: step }));
  const diffIds = [...layers].map((layer): Digest => digestOf(layer));
  return { config: { architecture: 'x', os: 'y', history, rootfs: { type: 'layers', diff_ids: diffIds } } };
}

/** `x*` is by id and any name, `x=name` by that name. */
function plan(
  samples: Readonly<Record<string, Sample>>,
  wanted: string,
  options: RemoveImageOptions = {},
  used: string[] = [],
) {
  const state = stateOf(samples, used);
  const requests = wanted.split(' ').map((text) => {
    const [id, name] = text.split('=') as [string, string | undefined];
    const image = recordOf(id, samples[id]?.names ?? [], samples[id]?.readOnly ?? false);
    return { image, referencedBy: name ?? '' };
  });
  const { changes, outcomes } = planRemovals(requests, state, options);
  const told = outcomes.map((outcome) => {
    if (outcome.kind === 'failed') return (outcome.error as Error).message;
    if (outcome.kind === 'gone') return 'gone';
    return outcome.reports.map(({ id, removed, untagged }) =>
      [id, removed ? 'removed' : 'kept children', ...untagged].join(' '),
    );
  });
  return { removed: changes.remove.join(' '), unnamed: changes.removeNames ?? [], told };
}

const CHAIN = {
  base: { names: ['localhost/base:1'], steps: 'b', layers: '1' },
  middle: { steps: 'bm', layers: '1' },
  top: { names: ['localhost/top:1'], steps: 'bmt', layers: '12' },
};

test('an image takes the dangling images below it along, up to one with a name', () => {
  assert.deepEqual(plan(CHAIN, 'top').told, [['top removed localhost/top:1', 'middle removed']]);
  assert.equal(plan(CHAIN, 'top', { keepParents: true }).removed, 'top');
  assert.equal(plan(CHAIN, 'top base').removed, 'top middle base');
});

test('an image with children is removed and not reported as such', () => {
  assert.deepEqual(plan(CHAIN, 'base').told, [['base kept children localhost/base:1']]);
});

test('what went with an earlier image is gone', () => {
  assert.deepEqual(plan(CHAIN, 'top middle none').told[1], 'gone');
  assert.deepEqual(plan(CHAIN, 'top middle none').told[2], 'gone');
});

test('a parent stays while another child needs it', () => {
  const samples = { ...CHAIN, other: { steps: 'bmo', layers: '13' } };
  assert.equal(plan(samples, 'top').removed, 'top');
  assert.equal(plan(samples, 'top other').removed, 'top other middle');
});

test('equal histories on other layers are no kin', () => {
  const samples = { ...CHAIN, middle: { steps: 'bm', layers: '9' } };
  assert.equal(plan(samples, 'top').removed, 'top');
});

test('of several names one goes, then the image with the last one', () => {
  const samples = { two: { names: ['localhost/a:1', 'localhost/b:1'], steps: 'x' } };
  const one = plan(samples, 'two=localhost/a:1');
  assert.deepEqual([one.removed, one.unnamed], ['', [{ id: 'two', names: ['localhost/a:1'] }]]);
  const both = plan(samples, 'two=localhost/a:1 two=localhost/b:1');
  assert.deepEqual(both.told[1], ['two removed localhost/b:1']);
  assert.match(String(plan(samples, 'two=two').told[0]), /more than one tag/);
  assert.equal(plan(samples, 'two=two', { force: true }).removed, 'two');
  assert.match(String(plan(samples, 'two=localhost/c:1').told[0]), /tag not known/);
});

test('one that cannot go stops no other', () => {
  const { told, removed } = plan({ ...CHAIN, used: { steps: 'u' } }, 'used top', {}, ['used']);
  assert.deepEqual([told[0], removed], ['used is in use', 'top middle']);
});

test('read-only images stay, as parents too', () => {
  const samples = { ...CHAIN, middle: { ...CHAIN.middle, readOnly: true } };
  assert.match(String(plan(samples, 'middle').told[0]), /cannot remove read-only image/);
  assert.equal(plan(samples, 'top').removed, 'top');
});

test('a parent in a manifest list stays, until the list has gone', () => {
  const samples = { ...CHAIN, list: { names: ['localhost/list:1'], steps: '', lists: 'middle' } };
  assert.equal(plan(samples, 'top').removed, 'top');
  assert.equal(plan(samples, 'list top').removed, 'list top middle');
});

test.run();
