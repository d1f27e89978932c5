import assert from 'node:assert/strict';
import { test } from 'uvu';
import { excessiveAttachments, formatSignatureBlob, parseSignatureBlob } from '../../image/signature.ts';

test('OpenPGP bytes stay bare, sigstore ones get a header', () => {
  const simple = { kind: 'simple' as const, bytes: Buffer.from([0x90, 1, 2]) };
  assert.deepEqual(parseSignatureBlob(formatSignatureBlob(simple)), simple);
  assert.deepEqual(parseSignatureBlob(Buffer.from('\0simple-signing\nabc')), {
    kind: 'simple',
    bytes: Buffer.from('abc'),
  });
  const sigstore = {
    kind: 'sigstore' as const,
    mediaType: 'mime-type',
    payload: Buffer.from('payload'),
    annotations: { a: 'b', c: 'd' },
  };
  const blob = formatSignatureBlob(sigstore);
  assert.equal(
    Buffer.from(blob).toString(),
    '\0sigstore-json\n{"mimeType":"mime-type","payload":"cGF5bG9hZA==","annotations":{"a":"b","c":"d"}}',
  );
  assert.deepEqual(parseSignatureBlob(blob), sigstore);
});

for (const [name, blob] of [
  ['empty', ''],
  ['a wrong first byte', '\xffsimple-signing\nhello'],
  ['text', '<html>'],
  ['no newline', '\0simple-signing'],
  ['a format that is not ASCII', '\0form\xffat\ndata'],
  ['an unknown format', '\0unknown-format\ndata'],
  ['bad JSON', '\0sigstore-json\n&'],
  ['no payload', '\0sigstore-json\n{"mimeType":"x"}'],
  ['payload that is no base64', '\0sigstore-json\n{"mimeType":"x","payload":"!"}'],
  ['an annotation that is a number', '\0sigstore-json\n{"mimeType":"x","payload":"","annotations":{"a":1}}'],
] as const)
  test(`refused: ${name}`, () => {
    assert.throws(() => parseSignatureBlob(Buffer.from(blob, 'latin1')), { name: 'ImageError' });
  });

test('S10: a signature blob over 4 MB', () => {
  assert.throws(() => parseSignatureBlob(Buffer.alloc(4 * 1024 * 1024 + 1, 0x90)), { code: 'too-large' });
});

test('S10: attachments by number and by their bytes together', () => {
  const layers = (count: number, size: number) => Array(count).fill({ size });
  assert.equal(excessiveAttachments(layers(1000, 600)), undefined);
  assert.match(excessiveAttachments(layers(1001, 600)) ?? '', /more than 1000 attachments/);
  assert.match(excessiveAttachments(layers(20, 4 * 1024 * 1024)) ?? '', /exceed the limit of 67108864 bytes/);
});

test.run();
