import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { formatReference } from '../../../image/reference.ts';
import { parseStorageName, policyNamespaces } from '../../../transport/containers-storage/name.ts';
import { TransportError } from '../../../transport/error.ts';
import { formatImageReference, parseImageReference } from '../../../transport/references.ts';

const test = suite('containers-storage references');
const ID = 'a'.repeat(64);
const DIGEST = `sha256:${'b'.repeat(64)}`;

for (const [text, named, id, possibleId] of [
  ['busybox', 'docker.io/library/busybox:latest', undefined, undefined],
  ['localhost/a/b:1', 'localhost/a/b:1', undefined, undefined],
  [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`, undefined, undefined],
  [`busybox:1@${DIGEST}`, `docker.io/library/busybox:1@${DIGEST}`, undefined, undefined],
  [ID, undefined, ID, undefined],
  [`@${ID}`, undefined, ID, undefined],
  [`busybox@${ID}`, 'docker.io/library/busybox:latest', ID, undefined],
  [`busybox:1@${DIGEST}@${ID}`, `docker.io/library/busybox:1@${DIGEST}`, ID, undefined],
  ['@abc123', undefined, undefined, 'abc123'],
  ['abc', 'docker.io/library/abc:latest', undefined, 'abc'],
  ['ab', 'docker.io/library/ab:latest', undefined, undefined],
] as const)
  test(`${text.slice(0, 40)} is understood`, () => {
    const name = parseStorageName(text);
    assert.equal(name.named && formatReference(name.named), named);
    assert.equal(name.id, id);
    assert.equal(name.possibleId, possibleId);
  });

for (const [text, location] of [
  ['[/root]x', { graphRoot: '/root' }],
  ['[overlay@/root]x', { driver: 'overlay', graphRoot: '/root' }],
  ['[overlay@/root+/run]x', { driver: 'overlay', graphRoot: '/root', runRoot: '/run' }],
  [
    '[vfs@/root+/run:a=b,c=d:e]x',
    { driver: 'vfs', graphRoot: '/root', runRoot: '/run', options: ['a=b', 'c=d:e'] },
  ],
] as const)
  test(`${text} names its store`, () => {
    assert.deepEqual(parseStorageName(text).location, location);
  });

for (const text of [
  '',
  '[',
  '[]x',
  '[@/root]x',
  '[overlay@]x',
  '[root]x',
  '[overlay@root]x',
  '[overlay@/r+run]x',
  '[/root]',
  'UPPER',
  'x@',
  'x@nothex',
  `x@${ID}00`,
])
  test(`${JSON.stringify(text.slice(0, 30))} is refused`, () => {
    assert.throws(
      () => parseStorageName(text),
      (error) => error instanceof TransportError && error.code === 'bad-reference',
    );
  });

test('policy scopes go from the image to the graph root', () => {
  assert.deepEqual(policyNamespaces('overlay', '/g', parseStorageName(`h.io/a/b:1@${DIGEST}`).named, ID), [
    `[overlay@/g]h.io/a/b:1@${DIGEST}`,
    '[overlay@/g]h.io/a/b:1',
    '[overlay@/g]h.io/a/b',
    '[overlay@/g]h.io/a',
    '[overlay@/g]h.io',
    '[overlay@/g]',
    '[/g]',
  ]);
});

test('a reference with its store has its policy identity at once', async () => {
  const text = 'containers-storage:[overlay@/g+/r]localhost/x:1';
  const reference = await parseImageReference(text, { workingDirectory: '/' });
  assert.equal(reference.policyIdentity, '[overlay@/g]localhost/x:1');
  assert.equal(formatImageReference(reference), text);
});

test.run();
