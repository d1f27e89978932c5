import { equal, match, notEqual } from 'node:assert/strict';
import { suite } from 'uvu';
import { containerIdOf } from '../../../build/run/container-id.ts';

const test = suite('names of runs');
test('state directories of one name in different places give different containers', () => {
  notEqual(containerIdOf('/var/tmp/run-a/state'), containerIdOf('/var/tmp/run-b/state'));
  equal(containerIdOf('/var/tmp/run-a/state'), containerIdOf('/var/tmp/run-a/state'));
  match(containerIdOf('/x'), /^buildah-[0-9a-f]{16}$/);
});
test.run();
