import assert from 'node:assert/strict';
import { suite } from 'uvu';
import * as change from '../../../build/container/config.ts';
import { sampleContainer } from './sample.ts';

const test = suite('configuration changes');
const container = sampleContainer();

test('a variable is set once and moves to the end', () => {
  const changed = change.changeContainer(
    container,
    change.setEnvironment('A', '1'),
    change.setEnvironment('B', '2'),
    change.setEnvironment('A', '3'),
  );
  assert.deepEqual(changed.ociConfig.config?.Env, ['B=2', 'A=3']);
  assert.deepEqual(changed.dockerConfig.config?.Env, ['B=2', 'A=3']);
  assert.deepEqual(container.ociConfig.config?.Env ?? [], []);
});

test('removing a variable leaves those whose names only begin the same', () => {
  const changed = change.changeContainer(
    container,
    change.setEnvironment('PATH', 'x'),
    change.setEnvironment('PATHS', 'y'),
    change.unsetEnvironment('PATH'),
  );
  assert.deepEqual(changed.ociConfig.config?.Env, ['PATHS=y']);
});

test('labels, ports and volumes are added, removed and cleared', () => {
  const changed = change.changeContainer(
    container,
    change.setLabel('a', '1'),
    change.setLabel('b', '2'),
    change.unsetLabel('a'),
    change.addPort('80/tcp'),
    change.addVolume('/data'),
    change.clearVolumes(),
  );
  assert.deepEqual(changed.ociConfig.config?.Labels, { b: '2' });
  assert.deepEqual(changed.ociConfig.config?.ExposedPorts, { '80/tcp': {} });
  assert.deepEqual(changed.ociConfig.config?.Volumes, {});
});

test("what only Docker's format holds stays out of the OCI config", () => {
  const changed = change.changeContainer(
    container,
    change.setShell(['/bin/bash', '-c']),
    change.setHealthcheck({ Test: ['CMD', 'true'] }),
    change.addOnBuild('RUN true'),
  );
  assert.equal(changed.ociConfig.config?.Shell, undefined);
  assert.deepEqual(changed.dockerConfig.config?.Shell, ['/bin/bash', '-c']);
  assert.deepEqual(changed.dockerConfig.config?.OnBuild, ['RUN true']);
  assert.match(
    change.droppedByOci('oci', 'healthcheck') ?? '',
    /HEALTHCHECK is not supported for OCI image format/,
  );
  assert.equal(change.droppedByOci('docker', 'healthcheck'), undefined);
});

test('os features: name, name- and -', () => {
  const both = change.changeContainer(container, change.changeOsFeatures('a'), change.changeOsFeatures('b'));
  assert.deepEqual(both.ociConfig['os.features'], ['a', 'b']);
  assert.deepEqual(change.changeOsFeatures('a-')(both).ociConfig['os.features'], ['b']);
  assert.deepEqual(change.changeOsFeatures('-')(both).ociConfig['os.features'], []);
});

test.run();
