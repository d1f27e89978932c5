import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { formatPayload } from '../../sign/payload.ts';
import { readKeyring } from '../../sign/simple/keyring.ts';
import { dumpUntrusted, verifyStandalone } from '../../sign/simple/standalone.ts';
import { certificate, makeKey, message, NOW_MS } from '../support/openpgp.ts';

const KEY = makeKey();
const SUBKEY = makeKey();
const OTHER = makeKey();
const RING = readKeyring([certificate(KEY, { subkey: { key: SUBKEY } }), certificate(OTHER)]);
const MANIFEST = Buffer.from('{}');
const NAME = 'registry.example.com/app:1';
const payload = (reference: string, manifest = MANIFEST) =>
  formatPayload('simple', { digest: digestOf(manifest), reference, creator: 'test', timestamp: 5 });
const signature = message(KEY, payload(NAME));
const verify = (input: Partial<Parameters<typeof verifyStandalone>[0]>, fingerprints: readonly string[]) =>
  verifyStandalone({ manifest: MANIFEST, reference: NAME, signature, ...input }, RING, fingerprints, NOW_MS);

test('by fingerprint, by one of several, by any', () => {
  for (const fingerprints of [[KEY.fingerprint], [OTHER.fingerprint, KEY.fingerprint], ['any']])
    assert.equal(verify({}, fingerprints).fingerprint, KEY.fingerprint);
});

test('a subkey counts for itself and for its primary key', () => {
  const bySubkey = message(SUBKEY, payload(NAME));
  assert.equal(verify({ signature: bySubkey }, [KEY.fingerprint]).fingerprint, KEY.fingerprint);
  assert.equal(verify({ signature: bySubkey }, [SUBKEY.fingerprint]).fingerprint, SUBKEY.fingerprint);
  assert.throws(() => verify({ signature: bySubkey }, [OTHER.fingerprint]), {
    message: `signature by key ${SUBKEY.fingerprint} of ${KEY.fingerprint} is not accepted`,
  });
});

for (const [name, input, fingerprints, why] of [
  ['another key', {}, [OTHER.fingerprint], /^signature by key [0-9A-F]{40} is not accepted$/],
  ['"any" among others is a name', {}, ['any', OTHER.fingerprint], /is not accepted/],
  [
    'another manifest',
    { manifest: Buffer.from('x') },
    ['any'],
    /Signature for docker digest .* does not match/,
  ],
  [
    'another name',
    { reference: 'registry.example.com/app:2' },
    ['any'],
    /Docker reference .* does not match/,
  ],
  [
    'a bad name signed',
    { signature: message(KEY, payload('UPPERCASEISINVALID')) },
    ['any'],
    /Invalid docker reference/,
  ],
  ['no signature', { signature: Buffer.from('x') }, ['any'], /not OpenPGP data/],
] as const)
  test(`refused: ${name}`, () =>
    assert.throws(() => verify(input, fingerprints), { code: 'invalid-signature', message: why }));

test('short names are filled in on both sides', () => {
  assert.ok(
    verify({ reference: 'busybox:1', signature: message(KEY, payload('docker.io/library/busybox:1')) }, [
      'any',
    ]),
  );
});

test('the unverified dump names the claimed key', () => {
  const dump = dumpUntrusted(message(makeKey(), payload(NAME)));
  assert.equal(dump.payload.reference, NAME);
  assert.equal(dumpUntrusted(signature).keyId, KEY.fingerprint.slice(-16));
});

for (const suite of ['cv25519', 'rsa3k'])
  test(`a signature made by Sequoia: ${suite}`, () => {
    const read = (name: string) => readFileSync(new URL(`../../fixtures/sign/${name}`, import.meta.url));
    const ring = readKeyring([read(`sequoia-${suite}.asc`)]);
    const input = { manifest: MANIFEST, reference: NAME, signature: read(`sequoia-${suite}.signature`) };
    const verified = verifyStandalone(input, ring, ring.fingerprints, Date.UTC(2027, 0, 1));
    assert.equal(verified.fingerprint, ring.fingerprints[0]);
    assert.equal(verified.payload.creator, undefined);
  });

test.run();
