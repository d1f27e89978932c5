import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { test } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { ImageError } from '../../image/error.ts';
import { parseSignatureBlob } from '../../image/signature.ts';
import { SignError } from '../../sign/error.ts';
import { judgeSignature } from '../../sign/found.ts';
import { parsePayload } from '../../sign/payload.ts';
import { ANNOTATION } from '../../sign/sigstore/annotations.ts';
import { createBundle } from '../../sign/sigstore/bundle.ts';
import {
  parseCertificate,
  parseCertificates,
  parseTrustedCertificates,
  verifyChain,
} from '../../sign/sigstore/certificate.ts';
import { verifyFulcioCertificate } from '../../sign/sigstore/certificate-identity.ts';
import { parseSigstoreKey } from '../../sign/sigstore/public-key.ts';
import { readKeyring } from '../../sign/simple/keyring.ts';
import { verifyMessage } from '../../sign/simple/verify.ts';
import { certificate, makeKey, message, NOW_MS } from '../support/openpgp.ts';
import { makeCertificate, TestLog } from '../support/x509.ts';

const KEY = makeKey();
const CERTIFICATE = certificate(KEY, { subkey: { key: makeKey() } });
const CONTENT = Buffer.from('content');
const MESSAGE = message(KEY, CONTENT);
const RING = readKeyring([CERTIFICATE]);
const PAIR = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const DIGEST = digestOf('x');
const BUNDLE = await createBundle({ privateKey: PAIR.privateKey }, DIGEST);
const NOW = Date.UTC(2026, 5, 1);
const ROOT = makeCertificate(NOW, { name: 'root', authority: true });
const LEAF = makeCertificate(NOW, {
  name: 'leaf',
  issuer: ROOT,
  emails: ['a@b.c'],
  issuerV1: 'i',
  issuerV2: 'i',
});
const ROOTS = parseTrustedCertificates(Buffer.from(ROOT.pem));
const RUNS = { numRuns: 400 };

/** The bytes with some of them changed, a part cut out, or something put in. */
function mutated(bytes: Uint8Array): fc.Arbitrary<Buffer> {
  return fc
    .tuple(fc.nat(bytes.length - 1), fc.nat(8), fc.uint8Array({ maxLength: 8 }))
    .map(([at, cut, put]) => Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + cut)]));
}

/** Runs hostile input: it may be refused, in our own words, and nothing else may happen. */
function refusesCleanly(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SignError || error instanceof ImageError, String((error as Error).stack));
  }
}

for (const [name, input, run] of [
  [
    'OpenPGP keys',
    fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated(CERTIFICATE)),
    (bytes: Uint8Array) => readKeyring([bytes]),
  ],
  ['PEM keys', fc.string().map(Buffer.from), (bytes: Uint8Array) => parseSigstoreKey(bytes)],
  [
    'certificates',
    fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated(LEAF.der)),
    (bytes: Uint8Array) => parseCertificate(bytes),
  ],
  [
    'certificate texts',
    mutated(Buffer.from(LEAF.pem)),
    (bytes: Uint8Array) => parseCertificates(Buffer.from(bytes).toString('latin1')),
  ],
  ['payloads', fc.json().map(Buffer.from), (bytes: Uint8Array) => parsePayload('simple', bytes)],
  [
    'signature files',
    fc.oneof(
      fc.uint8Array(),
      mutated(Buffer.from('\0sigstore-json\n{"mimeType":"a","payload":"","annotations":{}}')),
    ),
    parseSignatureBlob,
  ],
] as const)
  test(`hostile ${name} are refused cleanly`, () => {
    fc.assert(
      fc.property(input as fc.Arbitrary<Uint8Array>, (bytes) => refusesCleanly(() => run(bytes))),
      RUNS,
    );
  });

test('a changed message never verifies as something else', () => {
  fc.assert(
    fc.property(mutated(MESSAGE), (bytes) =>
      refusesCleanly(() =>
        assert.deepEqual(Buffer.from(verifyMessage(bytes, RING, NOW_MS).content), CONTENT),
      ),
    ),
    RUNS,
  );
});

test('a message verifies with no changed certificate but one that still says the same', () => {
  fc.assert(
    fc.property(mutated(CERTIFICATE), (bytes) =>
      refusesCleanly(() => {
        const result = verifyMessage(MESSAGE, readKeyring([bytes]), NOW_MS);
        assert.equal(result.primaryFingerprint, KEY.fingerprint);
      }),
    ),
    RUNS,
  );
});

test('a changed certificate never leads to the root', () => {
  fc.assert(
    fc.property(mutated(LEAF.der), (bytes) =>
      refusesCleanly(() => {
        const leaf = parseCertificate(bytes);
        verifyChain(leaf, { roots: ROOTS, intermediates: [], atMs: NOW });
        assert.ok(leaf.x509.raw.equals(LEAF.der));
      }),
    ),
    RUNS,
  );
});

test('hostile annotations, bundles and log entries give a verdict', () => {
  const trust = { roots: ROOTS, oidcIssuer: 'i', subjectEmail: 'a@b.c' };
  const known = {
    ring: RING,
    sigstore: [
      { keys: [PAIR.publicKey] },
      { keys: [PAIR.publicKey], logKeys: [{ key: parseSigstoreKey(new TestLog().publicKey) }] },
      { fulcio: trust, logKeys: [{ key: parseSigstoreKey(new TestLog().publicKey) }] },
    ],
  };
  const text = fc.oneof(fc.string(), fc.json(), fc.constant(LEAF.pem), fc.base64String());
  const attachment = fc.record({
    kind: fc.constant('sigstore' as const),
    mediaType: fc.constant('application/vnd.dev.cosign.simplesigning.v1+json'),
    payload: fc.json().map(Buffer.from),
    annotations: fc.record({
      [ANNOTATION.signature]: text,
      [ANNOTATION.bundle]: text,
      [ANNOTATION.certificate]: text,
      [ANNOTATION.chain]: text,
    }),
  });
  const bundle = fc
    .oneof(mutated(BUNDLE), fc.json().map(Buffer.from))
    .map((bytes) => ({ kind: 'bundle' as const, bytes }));
  fc.assert(
    fc.property(fc.oneof(attachment, bundle), (found) => {
      const { valid } = judgeSignature(found, DIGEST, known, NOW);
      assert.ok(valid === false || found.kind === 'bundle');
    }),
    RUNS,
  );
  refusesCleanly(() => verifyFulcioCertificate(trust, LEAF.pem, 'x', NOW));
});

test.run();
