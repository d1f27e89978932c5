import assert from 'node:assert/strict';
import { test } from 'uvu';
import { parse } from '../../../transport/docker/reference.ts';

const HEX = 'a'.repeat(64);

for (const [input, within, identity, namespaces] of [
  [
    '//alpine',
    '//alpine:latest',
    'docker.io/library/alpine:latest',
    ['docker.io/library/alpine', 'docker.io/library', 'docker.io', '*.io'],
  ],
  [
    '//a.b.example.com:5000/ns/x:1',
    '//a.b.example.com:5000/ns/x:1',
    'a.b.example.com:5000/ns/x:1',
    [
      'a.b.example.com:5000/ns/x',
      'a.b.example.com:5000/ns',
      'a.b.example.com:5000',
      '*.b.example.com',
      '*.example.com',
      '*.com',
    ],
  ],
  [
    `//localhost/x@sha256:${HEX}`,
    `//localhost/x@sha256:${HEX}`,
    `localhost/x@sha256:${HEX}`,
    ['localhost/x', 'localhost'],
  ],
  [
    '//localhost/ns/x@@unknown-digest@@',
    '//localhost/ns/x@@unknown-digest@@',
    'localhost/ns/x',
    ['localhost/ns', 'localhost'],
  ],
] as const)
  test(`docker:${input}`, () => {
    const reference = parse(input);
    assert.equal(reference.within, within);
    assert.equal(reference.policyIdentity, identity);
    assert.deepEqual(reference.policyNamespaces, namespaces);
    assert.equal(parse(reference.within).within, within);
  });

for (const [input, message] of [
  ['alpine', /does not start with \/\//],
  ['/alpine', /does not start with \/\//],
  ['//', /invalid reference/],
  ['//UPPER', /lowercase/],
  ['//UPPER/x', /lowercase/],
  [`//${HEX}`, /hexadecimal/],
  [`//x:1@sha256:${HEX}`, /both a tag and digest/],
  ['//x:1@@unknown-digest@@', /unknown digest set but it contains/],
  ['//x@sha256:abc', /invalid reference/],
  ['//x@sha256:../../etc', /invalid reference/],
] as const)
  test(`M01 refuses docker:${input}`, () => {
    assert.throws(() => parse(input), { code: 'bad-reference', message });
  });

test.run();
