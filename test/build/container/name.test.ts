import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { localCandidates } from '../../../build/container/find-image.ts';
import { imageDisplayName, imageNamePrefix, unusedContainerName } from '../../../build/container/name.ts';
import { isShortName } from '../../../config/short-names.ts';
import { formatReference } from '../../../image/reference.ts';
import type { ContainerRecord } from '../../../store/storage/contract.ts';

const test = suite('names of containers and images');

const PREFIXES: readonly [name: string, prefix: string][] = [
  ['alpine', 'alpine'],
  ['docker.io/library/alpine:3', 'alpine'],
  ['localhost:5000/team/app', 'localhost'],
  ['quay.io/team/app@sha256:abc', 'app'],
  [`sha256:${'0123456789ab'.repeat(5)}cdef`, '0123456789ab'],
  ['a'.repeat(64), 'a'.repeat(12)],
  ['dir:/tmp/x', 'dir'],
];
for (const [name, prefix] of PREFIXES)
  test(`a container from ${name.slice(0, 40)} is called after ${prefix}`, () => {
    assert.equal(imageNamePrefix(name), prefix);
  });

test('taken names get the first free number', () => {
  const taken = ['w', 'w-1', 'w-3'].map((name) => ({ names: [name] }) as unknown as ContainerRecord);
  assert.equal(unusedContainerName('w', taken), 'w-2');
  assert.equal(unusedContainerName('x', taken), 'x');
});

test('the name of an image that contains the given one is shown', () => {
  assert.equal(
    imageDisplayName('img', ['localhost/other:1', 'localhost/img:latest']),
    'localhost/img:latest',
  );
  assert.equal(imageDisplayName('gone', ['localhost/other:1']), 'localhost/other:1');
  assert.equal(imageDisplayName('given', []), 'given');
});

test('short names', () => {
  assert.deepEqual(['alpine', 'team/app', 'localhost/x', 'quay.io/x', 'host:5000/x'].map(isShortName), [
    true,
    true,
    false,
    false,
    false,
  ]);
});

test('a short name may stand for localhost, search registries and docker.io', () => {
  const shortNames = { alias: () => undefined, searchRegistries: ['quay.io'] };
  assert.deepEqual(localCandidates('app', shortNames).map(formatReference), [
    'localhost/app:latest',
    'quay.io/app:latest',
    'docker.io/library/app:latest',
  ]);
  assert.deepEqual(localCandidates('quay.io/app:1', shortNames).map(formatReference), ['quay.io/app:1']);
  assert.deepEqual(localCandidates('BAD', shortNames), []);
});

test.run();
