import { equal } from 'node:assert/strict';
import { suite } from 'uvu';
import { runtimeOf } from '../../../build/run/runtime-name.ts';

const test = suite('the name of the runtime');
const engine = {
  runtime: 'configured',
  runtimes: { configured: ['/none/configured', '/bin/sh', '/bin/cat'], away: ['/none/away'] },
};

test('what is asked for comes before what is configured', () => {
  equal(runtimeOf(engine, 'asked'), 'asked');
  equal(runtimeOf(engine, undefined), '/bin/sh');
  equal(runtimeOf({ ...engine, runtime: '' }, ''), undefined);
});

test('the first of its places that has it, else the name for the usual places', () => {
  equal(runtimeOf(engine, 'configured'), '/bin/sh');
  equal(runtimeOf(engine, 'away'), 'away');
  equal(runtimeOf(engine, '/own/runtime'), '/own/runtime');
});

test.run();
