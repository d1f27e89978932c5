// Bundles as Cosign 3 makes them by default: entries of Rekor 2, which have no time, and RFC 3161 timestamps.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { isJsonObject, type JsonObject } from '../../image/json.ts';
import { type BundleTrust, verifyBundle } from '../../sign/sigstore/bundle.ts';
import { parseTrustedRoot } from '../../sign/sigstore/trusted-root-file.ts';
import { type BundleOptions, SigstoreInstance } from '../support/sigstore-instance.ts';
import { timestampResponse } from '../support/timestamp.ts';

const NOW = Date.UTC(2026, 5, 1);
const HOUR = 3_600_000;
const MANIFEST = digestOf('manifest');
const INSTANCE = new SigstoreInstance(NOW);
const OTHER = new SigstoreInstance(NOW);
const SIGNER = { oidcIssuer: 'https://issuer.example', subjectEmail: 'dev@example.com' };
const KEY = generateKeyPairSync('ec', { namedCurve: 'P-256' });

function trust(change: (root: JsonObject) => JsonObject = (same) => same, signer = SIGNER): BundleTrust {
  const { authorities, logKeys, timeAuthorities } = parseTrustedRoot(INSTANCE.trustedRoot(change), 'root');
  const fulcio = authorities.map((authority) => ({ ...authority, ...signer }))[0];
  return { ...(fulcio && { fulcio }), logKeys, timeAuthorities };
}

const verify = (options: BundleOptions = {}, by = trust()) =>
  verifyBundle(INSTANCE.bundle(MANIFEST, options), MANIFEST, by);
const refuse = (why: RegExp, options: BundleOptions, by = trust()) =>
  assert.throws(() => verify(options, by), { code: 'invalid-signature', message: why });

for (const kind of ['hashedrekord', 'dsse'] as const)
  test(`verified: ${kind} 0.0.2, by certificate and by key`, () => {
    assert.equal(verify({ kind }).seenAtMs, NOW);
    const { fulcio, ...witnesses } = trust();
    assert.ok(fulcio);
    const byKey = verify({ kind, key: KEY }, { ...witnesses, keys: [KEY.publicKey] });
    assert.equal(byKey.seenAtMs, NOW);
    assert.equal(
      verify({ kind, key: KEY, stampedMs: 'none' }, { ...witnesses, keys: [KEY.publicKey] }).seenAtMs,
      undefined,
    );
  });

test('S11: a certificate needs a time that somebody vouches for', () => {
  refuse(/nobody vouches for the time/, { stampedMs: 'none' });
  refuse(/no trusted authority made the timestamp/, {
    stamps: (signature) => [timestampResponse(OTHER.tsa, signature, { atMs: NOW })],
  });
  refuse(/about something else/, {
    stamps: () => [timestampResponse(INSTANCE.tsa, Buffer.from('x'), { atMs: NOW })],
  });
  refuse(/nobody vouches/, {}, { ...trust(), timeAuthorities: [] });
});

test('S11: every time must lie within the certificate', () => {
  refuse(/not yet valid/, { stampedMs: NOW - HOUR });
  refuse(/has expired/, { stampedMs: NOW + HOUR });
  refuse(/has expired/, {
    stamps: (signature) =>
      [NOW, NOW + HOUR].map((atMs) => timestampResponse(INSTANCE.tsa, signature, { atMs })),
  });
});

test('S12: a timestamp of a stranger beside a good one counts for nothing', () => {
  const stamps = (signature: Uint8Array) => [
    timestampResponse(OTHER.tsa, signature, { atMs: NOW - HOUR }),
    timestampResponse(INSTANCE.tsa, signature, { atMs: NOW }),
  ];
  assert.equal(verify({ stamps }).seenAtMs, NOW);
});

const inside = (
  body: JsonObject,
  path: readonly string[],
  change: (parent: JsonObject, key: string) => void,
) => {
  const copy = structuredClone(body);
  let parent: JsonObject = copy;
  for (const step of path.slice(0, -1)) {
    const next = parent[step] ?? (Array.isArray(parent) ? parent[Number(step)] : undefined);
    if (!isJsonObject(next) && !Array.isArray(next)) throw new Error(`no ${step}`);
    parent = next as JsonObject;
  }
  change(parent, path.at(-1) as string);
  return copy;
};
const set = (value: JsonObject[string]) => (parent: JsonObject, key: string) => {
  parent[key] = value;
};
const remove = (parent: JsonObject, key: string) => void delete parent[key];
const OTHER_BYTES = Buffer.from('other').toString('base64');
const HASHED = ['spec', 'hashedRekordV002'];
const SIGNATURE = [...HASHED, 'signature'];
const CERTIFICATE = [...SIGNATURE, 'verifier', 'x509Certificate'];
const DSSE = ['spec', 'dsseV002'];

for (const [name, kind, path, change] of [
  ['another payload', 'hashedrekord', [...HASHED, 'data', 'digest'], set(OTHER_BYTES)],
  ['another hash', 'hashedrekord', [...HASHED, 'data', 'algorithm'], set('SHA2_512')],
  ['a weak hash', 'hashedrekord', [...HASHED, 'data', 'algorithm'], set('SHA1')],
  ['another signature', 'hashedrekord', [...SIGNATURE, 'content'], set(OTHER_BYTES)],
  ['another certificate', 'hashedrekord', [...CERTIFICATE, 'rawBytes'], set(OTHER_BYTES)],
  ['no verifier', 'hashedrekord', [...SIGNATURE, 'verifier'], remove],
  ['no certificate', 'hashedrekord', CERTIFICATE, remove],
  [
    'a key beside the certificate',
    'hashedrekord',
    [...SIGNATURE, 'verifier', 'publicKey'],
    set({ rawBytes: '' }),
  ],
  ['no spec', 'hashedrekord', ['spec'], remove],
  ['a spec of the other kind', 'dsse', ['kind'], set('hashedrekord')],
  ['another payload', 'dsse', [...DSSE, 'payloadHash', 'digest'], set(OTHER_BYTES)],
  ['another signature', 'dsse', [...DSSE, 'signatures', '0', 'content'], set(OTHER_BYTES)],
  ['no signature', 'dsse', [...DSSE, 'signatures'], set([])],
  ['a version to come', 'hashedrekord', ['apiVersion'], set('0.0.3')],
] as const)
  test(`S08 Rekor 2 entry refused: ${kind}, ${name}`, () => {
    refuse(/match|malformed|not supported|base64/, {
      kind,
      entry: (body) => inside(body, path, change as (parent: JsonObject, key: string) => void),
    });
  });

const ENTRY = ['verificationMaterial', 'tlogEntries', '0'];
for (const [name, why, path, change] of [
  ['no inclusion proof', /must have an inclusion proof/, [...ENTRY, 'inclusionProof'], remove],
  ['another root hash', /another root hash/, [...ENTRY, 'inclusionProof', 'rootHash'], set(OTHER_BYTES)],
  ['another kind than the body', /of another kind/, [...ENTRY, 'kindVersion', 'kind'], set('dsse')],
  ['no entry', /no log entry/, ['verificationMaterial', 'tlogEntries'], set([])],
  [
    'a timestamp that is no base64',
    /not base64/,
    ['verificationMaterial', 'timestampVerificationData', 'rfc3161Timestamps', '0', 'signedTimestamp'],
    set('?'),
  ],
] as const)
  test(`bundle refused: ${name}`, () => {
    refuse(why, {
      bundle: (bundle) => inside(bundle, path, change as (parent: JsonObject, key: string) => void),
    });
  });

test('an entry with a promise of Rekor 1 beside no proof is no entry of Rekor 2', () => {
  refuse(/must have an inclusion proof/, {
    bundle: (bundle) =>
      inside(
        inside(bundle, [...ENTRY, 'inclusionProof'], remove),
        [...ENTRY, 'inclusionPromise'],
        set({ signedEntryTimestamp: '' }),
      ),
  });
});

test('a log that is not trusted, or was not at the time', () => {
  const { logKeys } = parseTrustedRoot(OTHER.trustedRoot(), 'other');
  refuse(/no key of the log signed the checkpoint/, {}, { ...trust(), logKeys });
  const log = trust().logKeys?.[0] as NonNullable<BundleTrust['logKeys']>[number];
  refuse(/checkpoint/, {}, { ...trust(), logKeys: [{ ...log, toMs: NOW - 1 }] });
  refuse(/no log|checkpoint/, {}, { ...trust(), logKeys: [] });
});

test('a certificate authority that was trusted at another time', () => {
  const by = trust();
  const fulcio = { ...(by.fulcio as NonNullable<typeof by.fulcio>), validity: { toMs: NOW - 1 } };
  refuse(/authority was not trusted at that time/, {}, { ...by, fulcio });
});

test('the signer: email, URI where one may be, issuer', () => {
  refuse(/Required email/, {}, trust(undefined, { ...SIGNER, subjectEmail: 'x@example.com' }));
  refuse(/OIDC issuer/, {}, trust(undefined, { ...SIGNER, oidcIssuer: 'https://evil.example' }));
  const uri = 'https://ci.example/workflow@refs/heads/main';
  const by = trust(undefined, { ...SIGNER, subjectEmail: uri });
  const options: BundleOptions = { leaf: { emails: [], uris: [uri] } };
  refuse(/Required email/, options, by);
  const fulcio = { ...(by.fulcio as NonNullable<typeof by.fulcio>), subject: 'email-or-uri' as const };
  assert.equal(verify(options, { ...by, fulcio }).seenAtMs, NOW);
});

for (const [name, why, change] of [
  ['another media type', /known version/, (root) => ({ ...root, mediaType: 'x' })],
  ['tlogs that is no list', /tlogs/, (root) => ({ ...root, tlogs: {} })],
  ['a log without key', /publicKey/, (root) => ({ ...root, tlogs: [{}] })],
  [
    'a log with a broken key',
    /key of a log/,
    (root) => ({ ...root, tlogs: [{ publicKey: { rawBytes: 'AAAA' } }] }),
  ],
  [
    'an authority without certificates',
    /no certificate/,
    (root) => ({ ...root, certificateAuthorities: [{ certChain: {} }] }),
  ],
  [
    'a malformed certificate',
    /certificate/,
    (root) => ({ ...root, timestampAuthorities: [{ certChain: { certificates: [{ rawBytes: 'AAAA' }] } }] }),
  ],
] as [string, RegExp, (root: JsonObject) => JsonObject][])
  test(`trusted root refused: ${name}`, () => {
    assert.throws(() => parseTrustedRoot(INSTANCE.trustedRoot(change), 'root.json'), {
      code: 'bad-key',
      message: why,
    });
  });

test.run();
