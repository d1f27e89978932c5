import { deepEqual } from 'node:assert/strict';
import { suite } from 'uvu';
import { runFailure } from '../../../build/run/failure.ts';

const test = suite('why a command failed');

test('only what a runtime ran names the runtime', () => {
  const said = (...given: Parameters<typeof runFailure>) => {
    const { message, exitCode } = runFailure(...given);
    return [message, exitCode];
  };
  deepEqual(said('chroot', { exitCode: 3 }), ['exit status 3', 3]);
  deepEqual(said('oci', { exitCode: 3 }), ['while running runtime: exit status 3', 3]);
  deepEqual(said('rootless', { exitCode: 137, signal: 'SIGKILL' }), [
    'while running runtime: killed by signal SIGKILL',
    137,
  ]);
});

test.run();
