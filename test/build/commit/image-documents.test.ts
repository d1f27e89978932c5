import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { imageDocuments } from '../../../build/commit/image-documents.ts';
import { parseImageConfig } from '../../../image/config.ts';
import type { Digest } from '../../../image/digest.ts';
import { parseManifest } from '../../../image/manifest.ts';
import { sampleContainer } from '../container/sample.ts';

const test = suite('config and manifest of a commit');
const diffId = `sha256:${'1'.repeat(64)}` as Digest;
const inputs = {
  layers: [{ id: 'l', diffId, sizeBytes: 2048 }],
  format: 'oci' as const,
  created: '2024-05-06T07:08:09Z',
  reproducible: false,
};

test('equal inputs give equal bytes', () => {
  const a = imageDocuments(sampleContainer(), {}, inputs);
  const b = imageDocuments(sampleContainer(), {}, inputs);
  assert.equal(a.configDigest, b.configDigest);
  assert.equal(a.manifestDigest, b.manifestDigest);
});

test('an OCI image has its layer, history and creation annotation', () => {
  const { config, manifest } = imageDocuments(sampleContainer(), { annotations: ['a=b=c'] }, inputs);
  const document = parseImageConfig(config);
  assert.deepEqual(document.rootfs.diff_ids, [diffId]);
  assert.deepEqual(
    document.history?.map((entry) => ({ ...entry })),
    [{ created: inputs.created, created_by: '/bin/sh' }],
  );
  const parsed = parseManifest(manifest);
  assert.equal(parsed.kind, 'image');
  if (parsed.kind !== 'image') return;
  assert.equal(parsed.layers[0]?.mediaType, 'application/vnd.oci.image.layer.v1.tar');
  assert.deepEqual(
    { ...parsed.annotations },
    { a: 'b=c', 'org.opencontainers.image.created': inputs.created },
  );
});

test('a pinned date is that of every entry that the container adds', () => {
  const entry = { created: '2025-01-01T00:00:00Z', created_by: 'x' };
  const container = sampleContainer({ prependedHistory: [entry], appendedHistory: [entry] });
  const dates = (reproducible: boolean) =>
    parseImageConfig(imageDocuments(container, {}, { ...inputs, reproducible }).config).history?.map(
      ({ created }) => created,
    );
  assert.deepEqual(dates(false), [entry.created, inputs.created, entry.created]);
  assert.deepEqual(dates(true), [inputs.created, inputs.created, inputs.created]);
});

test('a Docker image says nothing of this machine when it is pinned', () => {
  const { config } = imageDocuments(
    sampleContainer(),
    { setParent: true },
    { ...inputs, format: 'docker', reproducible: true },
  );
  const document = parseImageConfig(config);
  assert.equal(document.container, undefined);
  assert.equal(document.config?.Hostname, 'sandbox');
});

test('the base is named in the first new history entry', () => {
  const container = sampleContainer({
    fromImage: 'docker.io/library/alpine:latest',
    fromImageId: 'c'.repeat(64),
  });
  const { config } = imageDocuments(container, {}, inputs);
  assert.equal(parseImageConfig(config).history?.[0]?.comment, 'FROM docker.io/library/alpine:latest');
});

test('history that does not fit the layers is refused, not written', () => {
  const container = sampleContainer();
  const withHistory = {
    ...container,
    ociConfig: { ...container.ociConfig, history: [{ created_by: 'one' }, { created_by: 'two' }] },
  };
  assert.throws(() => imageDocuments(withHistory, {}, inputs), { code: 'unsupported' });
});

test('unset variables and annotations are gone', () => {
  const base = sampleContainer({ annotations: { keep: '1', drop: '2' } });
  const container = { ...base, ociConfig: { ...base.ociConfig, config: { Env: ['A=1', 'B=2'] } } };
  const { config, manifest } = imageDocuments(
    container,
    { unsetEnvironment: ['A'], unsetAnnotations: ['drop'], createdAnnotation: false },
    inputs,
  );
  assert.deepEqual(parseImageConfig(config).config?.Env, ['B=2']);
  const parsed = parseManifest(manifest);
  assert.deepEqual(parsed.kind === 'image' && { ...parsed.annotations }, { keep: '1' });
});

test.run();
