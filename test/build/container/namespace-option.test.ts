import { deepEqual } from 'node:assert/strict';
import { suite } from 'uvu';
import { namespaceOption, networkChoice } from '../../../build/container/namespace-option.ts';

const test = suite('what namespace flags say');

for (const [kind, text, isHost, path] of [
  ['network', 'host', true, ''],
  ['network', 'none', false, ''],
  ['network', 'private', false, ''],
  ['network', 'container', false, ''],
  ['network', '', false, ''],
  ['network', 'ns:/run/netns/a', false, '/run/netns/a'],
  ['network', '/run/netns/a', false, '/run/netns/a'],
  ['network', 'one,two', false, 'one,two'],
  ['pid', 'container', false, ''],
  ['pid', 'none', false, 'none'],
  ['ipc', 'host', true, ''],
] as const)
  test(`--${kind} ${text}`, () =>
    deepEqual(namespaceOption(kind, text), { Name: kind, Host: isHost, Path: path }));

test('only none is no network', () => {
  deepEqual(['none', 'host', 'private', 'container', ''].map(networkChoice), [
    'disabled',
    ...Array(4).fill('enabled'),
  ]);
});

test.run();
