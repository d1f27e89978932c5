import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { openContainer, saveContainer } from '../../../build/container/state.ts';
import type { Store } from '../../../store/storage/contract.ts';
import { sampleContainer } from './sample.ts';

const test = suite('state of working containers');
const directory = mkdtempSync(join(tmpdir(), 'slipway-state-'));
test.after(() => rmSync(directory, { recursive: true, force: true }));

const sample = sampleContainer();
const store = {
  containers: {
    directory: async () => directory,
    get: async (name: string) =>
      name === 'none'
        ? undefined
        : {
            id: sample.id,
            names: [sample.name],
            imageId: '',
            layerId: sample.layerId,
            metadata: '',
            bigDataNames: [],
            created: '',
          },
  },
} as unknown as Store;
const file = join(directory, 'buildah.json');

test('what is saved is read back', async () => {
  const container = sampleContainer({
    fromImage: 'docker.io/library/alpine:latest',
    createdBy: 'me',
    annotations: { a: 'b' },
    sourceConfig: Buffer.from('{"x":1}'),
    idMappings: {
      uids: [{ containerId: 0, hostId: 1000, size: 10 }],
      gids: [{ containerId: 0, hostId: 1000, size: 10 }],
    },
    runOptions: { ShmSize: '64m', Ulimit: ['nofile=1:2'] },
    appendedHistory: [{ created_by: 'x', empty_layer: true }],
  });
  await saveContainer(store, container);
  const read = await openContainer(store, sample.name);
  assert.equal(read.createdBy, 'me');
  assert.equal(read.fromImage, container.fromImage);
  assert.deepEqual(read.annotations, container.annotations);
  assert.deepEqual(read.idMappings, container.idMappings);
  assert.deepEqual({ ...read.runOptions }, container.runOptions);
  assert.deepEqual(
    read.appendedHistory.map((entry) => ({ ...entry })),
    container.appendedHistory,
  );
  assert.equal(Buffer.from(read.sourceConfig ?? []).toString(), '{"x":1}');
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test("the file has Buildah's keys", async () => {
  await saveContainer(store, sample);
  const json = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  assert.equal(json.type, 'buildah 0.0.1');
  assert.equal(json['container-name'], 'working-container');
  assert.equal(json.Format, 'application/vnd.oci.image.manifest.v1+json');
  assert.equal(typeof (json.docker as { container_config: unknown }).container_config, 'object');
});

test('keys of the original that mean nothing here survive', async () => {
  await saveContainer(store, sample);
  const json = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...json, TempVolumes: { '/x': true } }));
  await saveContainer(store, await openContainer(store, sample.name));
  assert.deepEqual((JSON.parse(readFileSync(file, 'utf8')) as { TempVolumes: unknown }).TempVolumes, {
    '/x': true,
  });
});

test('an unknown container is said to be so', async () => {
  await assert.rejects(openContainer(store, 'none'), {
    code: 'no-such-container',
    message: /container not known/,
  });
});

for (const [what, text] of [
  ['corrupt JSON', '{"type": "buildah'],
  ['a duplicate key', '{"type":"buildah 0.0.1","type":"x"}'],
  ['another tool', '{"type":"other 1.0"}'],
] as const)
  test(`${what} names the file and deletes nothing`, async () => {
    writeFileSync(file, text);
    await assert.rejects(openContainer(store, sample.name), (error: Error & { hint?: string }) => {
      assert.match(error.message, /buildah\.json/);
      assert.match(error.hint ?? '', /buildah rm/);
      return true;
    });
    assert.equal(readFileSync(file, 'utf8'), text);
  });

test.run();
