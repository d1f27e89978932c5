import assert from 'node:assert/strict';
import { test } from 'uvu';
import type { Digest } from '../../image/digest.ts';
import { formatPayload, parsePayload } from '../../sign/payload.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}` as Digest;
const identity = '"identity":{"docker-reference":"a.example/b:1"}';
const image = `"image":{"docker-manifest-digest":"${DIGEST}"}`;
const simpleType = '"type":"atomic container signature"';
const document = (critical: string, optional = '{}') => `{"critical":{${critical}},"optional":${optional}}`;
const good = `${simpleType},${image},${identity}`;
const parse = (text: string) => parsePayload('simple', Buffer.from(text));

test('both kinds go there and back, keys in the order of Go', () => {
  for (const kind of ['simple', 'sigstore'] as const) {
    const payload = { digest: DIGEST, reference: 'a.example/b:1', creator: 'slipway 1', timestamp: 5 };
    assert.deepEqual(parsePayload(kind, formatPayload(kind, payload)), payload);
  }
  assert.equal(
    Buffer.from(formatPayload('simple', { digest: DIGEST, reference: 'a' })).toString(),
    `{"critical":{"identity":{"docker-reference":"a"},"image":{"docker-manifest-digest":"${DIGEST}"},"type":"atomic container signature"},"optional":{}}`,
  );
});

for (const [name, text] of [
  ['no optional fields', document(good)],
  ['an extra key in optional', document(good, '{"x":{"y":[1]}}')],
  ['white space around', ` ${document(good)}\n`],
] as const)
  test(`S07 accepted: ${name}`, () => assert.equal(parse(text).digest, DIGEST));

for (const [name, text] of [
  ['an extra top-level key', `{"critical":{${good}},"optional":{},"x":1}`],
  ['a missing optional', `{"critical":{${good}}}`],
  ['a missing critical', '{"optional":{}}'],
  ['an extra key in critical', document(`${good},"x":1`)],
  ['a missing type', document(`${image},${identity}`)],
  ['a wrong type', document(`"type":"x",${image},${identity}`)],
  ['the other kind', document(`"type":"cosign container image signature",${image},${identity}`)],
  [
    'an extra key in image',
    document(`${simpleType},"image":{"docker-manifest-digest":"${DIGEST}","x":1},${identity}`),
  ],
  ['an empty image', document(`${simpleType},"image":{},${identity}`)],
  ['an extra key in identity', document(`${simpleType},${image},"identity":{"docker-reference":"a","x":1}`)],
  ['a reference that is no string', document(`${simpleType},${image},"identity":{"docker-reference":1}`)],
  [
    'a digest with a path',
    document(`${simpleType},"image":{"docker-manifest-digest":"sha256:../../x"},${identity}`),
  ],
  [
    'an upper-case digest',
    document(`${simpleType},"image":{"docker-manifest-digest":"${DIGEST.toUpperCase()}"},${identity}`),
  ],
  ['M09: a duplicate top-level key', `{"critical":{${good}},"critical":{${good}},"optional":{}}`],
  ['M09: a duplicate identity', document(`${good},${identity}`)],
  ['M09: a duplicate in optional', document(good, '{"x":1,"x":2}')],
  ['a fractional timestamp', document(good, '{"timestamp":1.5}')],
  ['a timestamp that is text', document(good, '{"timestamp":"1"}')],
  ['a creator that is a number', document(good, '{"creator":1}')],
  ['optional null in a simple signature', document(good, 'null')],
  ['optional that is a list', document(good, '[]')],
  ['trailing data', `${document(good)}{}`],
  ['not JSON', 'This is not JSON\n'],
  ['another letter case', document(good).replace('critical', 'Critical')],
  ['a list', '[]'],
] as const)
  test(`S07 refused: ${name}`, () => assert.throws(() => parse(text), { code: 'invalid-signature' }));

test('S07: cosign writes optional null', () => {
  const text = document(
    good.replace('atomic container signature', 'cosign container image signature'),
    'null',
  );
  assert.equal(parsePayload('sigstore', Buffer.from(text)).reference, 'a.example/b:1');
});

test.run();
