import { equal } from 'node:assert/strict';
import { suite } from 'uvu';
import { hostnameOf, ownHostname } from '../../../build/container/hostname.ts';

const test = suite('host names of containers');

const NAMES: readonly (readonly [string, string | undefined])[] = [
  ['alpine-working-container', 'alpine-working-container'],
  [':alpine-working_containeR-4-test:', 'alpine-workingcontaineR-4-test'],
  ['-.name', 'name'],
  ['a'.repeat(80), 'a'.repeat(64)],
  ['::', undefined],
];
for (const [name, expected] of NAMES)
  test(`of ${JSON.stringify(name)}`, () => equal(hostnameOf(name), expected));

test('the id where the name is not wanted, or does not do', () => {
  const id = '0123456789abcdef';
  equal(ownHostname({ id, name: 'work' }, true), 'work');
  equal(ownHostname({ id, name: 'work' }, false), '0123456789ab');
  equal(ownHostname({ id, name: ':' }, true), '0123456789ab');
});

test.run();
