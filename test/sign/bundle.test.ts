import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { test } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import type { JsonObject } from '../../image/json.ts';
import { createBundle, SIGN_PREDICATE, verifyBundle } from '../../sign/sigstore/bundle.ts';
import { canonicalJson } from '../../sign/sigstore/canonical-json.ts';
import { parseTrustedCertificates } from '../../sign/sigstore/certificate.ts';
import { signBlob } from '../../sign/sigstore/private-key.ts';
import { formatSigstoreKey, parseSigstoreKey } from '../../sign/sigstore/public-key.ts';
import { makeCertificate, TestLog } from '../support/x509.ts';

const NOW = Date.UTC(2026, 5, 1);
const MANIFEST = digestOf('manifest');
const PAIR = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const TRUST = { keys: [PAIR.publicKey] };
const LOG = new TestLog();
const LOG_KEYS = [{ key: parseSigstoreKey(LOG.publicKey) }];
const STATEMENT = 'application/vnd.in-toto+json';

/** A bundle whose statement and envelope the caller controls. */
function bundle(
  change: {
    statement?: unknown;
    payloadType?: string;
    top?: JsonObject;
    entry?: (body: JsonObject) => JsonObject;
    key?: typeof PAIR;
    material?: JsonObject;
  } = {},
): Buffer {
  const { payloadType = STATEMENT, key = PAIR } = change;
  const payload = Buffer.from(
    JSON.stringify(
      change.statement ?? {
        _type: 'https://in-toto.io/Statement/v1',
        subject: [{ digest: { sha256: MANIFEST.slice(7) } }],
        predicateType: SIGN_PREDICATE,
        predicate: {},
      },
    ),
  );
  const signed = Buffer.concat([
    Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `),
    payload,
  ]);
  const sig = Buffer.from(signBlob(key.privateKey, signed)).toString('base64');
  const body: JsonObject = {
    apiVersion: '0.0.1',
    kind: 'dsse',
    spec: {
      payloadHash: { algorithm: 'sha256', value: createHash('sha256').update(payload).digest('hex') },
      signatures: [
        { signature: sig, verifier: Buffer.from(formatSigstoreKey(key.publicKey)).toString('base64') },
      ],
    },
  };
  const entries = change.entry ? [logEntry(change.entry(body))] : [];
  return Buffer.from(
    JSON.stringify({
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: { ...(change.material ?? { publicKey: { hint: 'x' } }), tlogEntries: entries },
      dsseEnvelope: { payload: payload.toString('base64'), payloadType, signatures: [{ sig }] },
      ...change.top,
    }),
  );
}

/** A log entry with promise and inclusion proof in a tree of three. */
function logEntry(body: JsonObject): JsonObject {
  const bytes = Buffer.from(JSON.stringify(body));
  const hash = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
  const leaf = hash(Buffer.from([0]), bytes);
  const [left, right] = [hash(Buffer.from([0]), Buffer.from('a')), hash(Buffer.from([0]), Buffer.from('c'))];
  const root = hash(Buffer.from([1]), hash(Buffer.from([1]), left, leaf), right);
  const note = `log.example\n3\n${root.toString('base64')}\n`;
  const noteSignature = Buffer.concat([Buffer.alloc(4), Buffer.from(LOG.sign(note), 'base64')]).toString(
    'base64',
  );
  const payload = { body: bytes.toString('base64'), integratedTime: NOW / 1000, logIndex: 41, logID: 'abcd' };
  return {
    logIndex: '41',
    logId: { keyId: Buffer.from('abcd', 'hex').toString('base64') },
    kindVersion: { kind: String(body.kind), version: '0.0.1' },
    integratedTime: String(NOW / 1000),
    inclusionPromise: { signedEntryTimestamp: LOG.sign(canonicalJson(payload)) },
    inclusionProof: {
      logIndex: '1',
      treeSize: '3',
      rootHash: root.toString('base64'),
      hashes: [left.toString('base64'), right.toString('base64')],
      checkpoint: { envelope: `${note}\n\u2014 log.example ${noteSignature}\n` },
    },
    canonicalizedBody: bytes.toString('base64'),
  };
}

const same = (body: JsonObject) => body;
const refuse = (bytes: Uint8Array, why: RegExp, trust: Parameters<typeof verifyBundle>[2] = TRUST) =>
  assert.throws(() => verifyBundle(bytes, MANIFEST, trust), { code: 'invalid-signature', message: why });

test('made and verified, for every kind of key', async () => {
  for (const pair of [
    PAIR,
    generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    generateKeyPairSync('ed25519'),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ]) {
    const bytes = await createBundle({ privateKey: pair.privateKey }, MANIFEST);
    const result = verifyBundle(bytes, MANIFEST, { keys: [PAIR.publicKey, pair.publicKey] });
    assert.equal(result.predicateType, SIGN_PREDICATE);
    assert.equal(result.by, formatSigstoreKey(pair.publicKey));
    assert.throws(() => verifyBundle(bytes, digestOf('other'), { keys: [pair.publicKey] }), /is not about/);
  }
});

test('with a log entry: promise and inclusion proof', () => {
  const result = verifyBundle(bundle({ entry: same }), MANIFEST, { ...TRUST, logKeys: LOG_KEYS });
  assert.equal(result.seenAtMs, NOW);
});

test('S09: a bundle of another key, of nobody, or without a log entry that is demanded', () => {
  refuse(bundle({ key: generateKeyPairSync('ec', { namedCurve: 'P-256' }) }), /none of the trusted keys/);
  refuse(bundle(), /none of the trusted keys/, { keys: [] });
  refuse(bundle(), /no log entry/, { ...TRUST, logKeys: LOG_KEYS });
  refuse(bundle({ entry: same }), /./, {
    ...TRUST,
    logKeys: [{ key: parseSigstoreKey(new TestLog().publicKey) }],
  });
});

for (const [name, statement] of [
  ['no subject', { _type: 'https://in-toto.io/Statement/v1', predicateType: 'x' }],
  [
    'another subject',
    { _type: 'https://in-toto.io/Statement/v1', subject: [{ digest: { sha256: 'ab' } }], predicateType: 'x' },
  ],
  [
    'another algorithm',
    {
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { sha512: MANIFEST.slice(7) } }],
      predicateType: 'x',
    },
  ],
  [
    'another type of statement',
    { _type: 'x', subject: [{ digest: { sha256: MANIFEST.slice(7) } }], predicateType: 'x' },
  ],
  [
    'no predicate type',
    { _type: 'https://in-toto.io/Statement/v1', subject: [{ digest: { sha256: MANIFEST.slice(7) } }] },
  ],
  ['a list', []],
] as const)
  test(`S09 statement refused: ${name}`, () => refuse(bundle({ statement }), /statement|JSON object/));

test('S09: an envelope of another type', () => refuse(bundle({ payloadType: 'text/plain' }), /in-toto/));

for (const [name, top, why] of [
  ['another version', { mediaType: 'application/vnd.dev.sigstore.bundle.v0.9+json' }, /known version/],
  ['no media type', { mediaType: null }, /known version/],
  ['a message signature as well', { messageSignature: {} }, /either an envelope or/],
  [
    'two signatures',
    { dsseEnvelope: { payload: '', payloadType: STATEMENT, signatures: [{ sig: '' }, { sig: '' }] } },
    /exactly one signature/,
  ],
  [
    'no signature',
    { dsseEnvelope: { payload: '', payloadType: STATEMENT, signatures: [] } },
    /exactly one signature/,
  ],
  ['no material', { verificationMaterial: {} }, /publicKey/],
] as const)
  test(`bundle refused: ${name}`, () => refuse(bundle({ top: top as JsonObject }), why));

test('bundle refused: duplicate keys, trailing data, too large', () => {
  const text = bundle().toString();
  refuse(Buffer.from(text.replace('{', '{"mediaType":"x",')), /duplicate key/);
  refuse(Buffer.from(`${text}{}`), /after its end/);
  refuse(Buffer.alloc(4 * 1024 * 1024 + 1, 0x20), /exceeds the limit/);
});

for (const [name, entry] of [
  [
    'about another payload',
    (body: JsonObject) => ({
      ...body,
      spec: { ...(body.spec as JsonObject), payloadHash: { algorithm: 'sha256', value: 'ab' } },
    }),
  ],
  [
    'about another signature',
    (body: JsonObject) => ({
      ...body,
      spec: { ...(body.spec as JsonObject), signatures: [{ signature: 'AAAA', verifier: '' }] },
    }),
  ],
  [
    'with two signatures',
    (body: JsonObject) => ({ ...body, spec: { ...(body.spec as JsonObject), signatures: [{}, {}] } }),
  ],
  ['of an unknown kind', (body: JsonObject) => ({ ...body, kind: 'rpm' })],
] as const)
  test(`S08 log entry refused: ${name}`, () =>
    refuse(bundle({ entry }), /match|malformed|not supported/, { ...TRUST, logKeys: LOG_KEYS }));

for (const [name, change] of [
  ['another root hash', (proof: JsonObject) => ({ ...proof, rootHash: Buffer.alloc(32).toString('base64') })],
  [
    'a missing hash',
    (proof: JsonObject) => ({ ...proof, hashes: [(proof.hashes as string[])[0] as string] }),
  ],
  [
    'a hash too many',
    (proof: JsonObject) => ({
      ...proof,
      hashes: [...(proof.hashes as string[]), (proof.hashes as string[])[0] as string],
    }),
  ],
  ['another index', (proof: JsonObject) => ({ ...proof, logIndex: '0' })],
  ['an index outside', (proof: JsonObject) => ({ ...proof, logIndex: '3' })],
  ['another size', (proof: JsonObject) => ({ ...proof, treeSize: '4' })],
  [
    'an unsigned checkpoint',
    (proof: JsonObject) => ({ ...proof, checkpoint: { envelope: 'log.example\n3\nAAAA\n\n' } }),
  ],
  ['a checkpoint without blank line', (proof: JsonObject) => ({ ...proof, checkpoint: { envelope: 'x' } })],
] as const)
  test(`S11 inclusion proof refused: ${name}`, () => {
    const json = JSON.parse(bundle({ entry: same }).toString());
    const [entry] = json.verificationMaterial.tlogEntries;
    entry.inclusionProof = change(entry.inclusionProof);
    refuse(Buffer.from(JSON.stringify(json)), /proof|checkpoint/, { ...TRUST, logKeys: LOG_KEYS });
  });

test('S11: an entry that proves nothing, and a time that nobody signed', () => {
  const json = JSON.parse(bundle({ entry: same }).toString());
  const [entry] = json.verificationMaterial.tlogEntries;
  delete entry.inclusionPromise;
  const { seenAtMs } = verifyBundle(Buffer.from(JSON.stringify(json)), MANIFEST, {
    ...TRUST,
    logKeys: LOG_KEYS,
  });
  assert.equal(seenAtMs, undefined);
  delete entry.inclusionProof;
  refuse(Buffer.from(JSON.stringify(json)), /proves nothing/, { ...TRUST, logKeys: LOG_KEYS });
});

test('S11: the integrated time is covered by the promise', () => {
  const json = JSON.parse(bundle({ entry: same }).toString());
  json.verificationMaterial.tlogEntries[0].integratedTime = String(NOW / 1000 - 5);
  refuse(Buffer.from(JSON.stringify(json)), /Rekor SET failed/, { ...TRUST, logKeys: LOG_KEYS });
});

test('Fulcio: the certificate must be valid when the log saw the signature', () => {
  const root = makeCertificate(NOW, { name: 'root', authority: true });
  const trust = {
    fulcio: {
      roots: parseTrustedCertificates(Buffer.from(root.pem)),
      oidcIssuer: 'https://i',
      subjectEmail: 'a@b.c',
    },
    logKeys: LOG_KEYS,
  };
  const leafOptions = { name: 'leaf', issuer: root, emails: ['a@b.c'], issuerV2: 'https://i', keys: PAIR };
  for (const [from, to, ok] of [
    [NOW - 1000, NOW + 1000, true],
    [NOW - 5000, NOW - 1000, false],
    [NOW + 1000, NOW + 5000, false],
  ] as const) {
    const leaf = makeCertificate(NOW, { ...leafOptions, from, to });
    const verifier = Buffer.from(leaf.pem).toString('base64');
    const bytes = bundle({
      material: { certificate: { rawBytes: leaf.der.toString('base64') } },
      entry: (body) => {
        const spec = body.spec as JsonObject;
        const [signature] = spec.signatures as JsonObject[];
        return { ...body, spec: { ...spec, signatures: [{ ...signature, verifier }] } };
      },
    });
    if (ok) assert.equal(verifyBundle(bytes, MANIFEST, trust).by, leaf.pem);
    else refuse(bytes, /expired|not yet valid/, trust);
  }
  refuse(bundle(), /no certificate/, trust);
});

test('S14: mutated bundles throw and never verify', () => {
  const good = bundle({ entry: same });
  for (let at = 0; at < good.length; at += 7) {
    const bytes = Buffer.from(good);
    bytes[at] = (bytes[at] as number) ^ 1;
    try {
      verifyBundle(bytes, MANIFEST, { ...TRUST, logKeys: LOG_KEYS });
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'invalid-signature', String(error));
    }
  }
});

test.run();
