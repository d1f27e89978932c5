import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'uvu';
import { parsePolicy } from '../../config/policy.ts';
import { parseReference } from '../../image/reference.ts';
import type { SignatureBlob } from '../../image/signature.ts';
import { createPolicy } from '../../sign/policy/policy.ts';
import { ANNOTATION } from '../../sign/sigstore/annotations.ts';
import { canonicalJson } from '../../sign/sigstore/canonical-json.ts';
import type { SigstoreIdentity } from '../../sign/sigstore/identity.ts';
import { parseSigningParameters } from '../../sign/sigstore/parameters.ts';
import { readOnePem, readPem } from '../../sign/sigstore/pem.ts';
import {
  decryptPrivateKey,
  encryptPrivateKey,
  generateSigstoreKey,
  signBlob,
} from '../../sign/sigstore/private-key.ts';
import { formatSigstoreKey, parseSigstoreKey, verifyBlob } from '../../sign/sigstore/public-key.ts';
import type { LoggedSignature } from '../../sign/sigstore/rekor-entry.ts';
import { createSigstoreSigner } from '../../sign/sigstore/signer.ts';
import { type CertificateOptions, makeCertificate, TestLog } from '../support/x509.ts';

const NOW = Date.UTC(2026, 5, 1);
const HOUR = 3_600_000;
const MANIFEST = Buffer.from('{"schemaVersion":2}');
const NAME = 'reg.example/app:1';
const LOG = new TestLog();
const ROOT = makeCertificate(NOW, { name: 'root', authority: true });
const base64 = (text: string) => Buffer.from(text).toString('base64');

async function signed(
  identity: SigstoreIdentity,
  log?: (logged: LoggedSignature) => string,
): Promise<SignatureBlob> {
  const signer = createSigstoreSigner({
    identity: async () => identity,
    creator: 'test',
    now: () => NOW,
    ...(log && { log: async (logged) => log(logged) }),
  });
  await signer.prepare();
  return signer.sign(MANIFEST, parseReference(NAME));
}

function admit(requirement: object, signature: SignatureBlob, nowMs = NOW): Promise<void> {
  const policy = parsePolicy(JSON.stringify({ default: [{ type: 'sigstoreSigned', ...requirement }] }));
  return createPolicy(policy, { now: () => nowMs }).admit({
    reference: {
      transport: 'docker',
      within: `//${NAME}`,
      named: parseReference(NAME),
      policyIdentity: NAME,
      policyNamespaces: [],
    },
    manifest: { bytes: MANIFEST },
    signatures: async () => [signature],
  });
}

for (const [name, pair] of [
  ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ['Ed25519', generateKeyPairSync('ed25519')],
] as const)
  test(`${name}: sign, verify, encrypt and decrypt the key`, async () => {
    const keyData = base64(formatSigstoreKey(pair.publicKey));
    const pem = await encryptPrivateKey(pair.privateKey, Buffer.from('secret'));
    const privateKey = await decryptPrivateKey(pem, Buffer.from('secret'));
    await admit({ keyData }, await signed({ privateKey }));
  });

test('a generated key opens with its passphrase, an empty one too, and with no other', async () => {
  for (const passphrase of ['pass word', '']) {
    const { privateKey, publicKey } = await generateSigstoreKey(Buffer.from(passphrase));
    assert.match(privateKey, /^-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n/);
    const opened = await decryptPrivateKey(privateKey, Buffer.from(passphrase));
    assert.equal(formatSigstoreKey(createPublicKey(opened)), publicKey);
    await assert.rejects(decryptPrivateKey(privateKey, Buffer.from('x')), { code: 'bad-passphrase' });
    const renamed = privateKey.replaceAll('COSIGN', 'SIGSTORE');
    await decryptPrivateKey(renamed, Buffer.from(passphrase));
  }
});

for (const [name, change, why] of [
  ['another label', (pem: string) => pem.replaceAll('ENCRYPTED COSIGN ', ''), /unsupported pem type/],
  ['no PEM', () => 'x', /PEM/],
  ['two blocks', (pem: string) => pem + pem, /trailing data/],
  [
    'other scrypt costs',
    (pem: string) => edit(pem, (json) => json.replace('65536', '65537')),
    /unsupported scrypt parameters/,
  ],
  [
    'another cipher',
    (pem: string) => edit(pem, (json) => json.replace('secretbox', 'box')),
    /unknown cipher name/,
  ],
  [
    'another key derivation',
    (pem: string) => edit(pem, (json) => json.replace('"scrypt"', '"argon2"')),
    /unknown kdf name/,
  ],
  [
    'a short nonce',
    (pem: string) => edit(pem, (json) => json.replace(/"nonce":"[^"]*"/, '"nonce":"AAAA"')),
    /nonce size/,
  ],
  ['no JSON', (pem: string) => edit(pem, () => 'x'), /decrypt/],
] as const)
  test(`bad key file: ${name}`, async () => {
    const { privateKey } = await generateSigstoreKey(Buffer.from('x'));
    await assert.rejects(decryptPrivateKey(change(privateKey), Buffer.from('x')), {
      code: 'bad-key',
      message: why,
    });
  });

function edit(pem: string, change: (json: string) => string): string {
  const { label, der } = readOnePem(pem, 'key');
  return `-----BEGIN ${label}-----\n${base64(change(Buffer.from(der).toString()))}\n-----END ${label}-----\n`;
}

for (const [name, pem, why] of [
  ['RSA of 1024 bits', generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey, /too weak/],
  [
    'another curve',
    generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey,
    /unsupported elliptic curve/,
  ],
  ['X25519', generateKeyPairSync('x25519').publicKey, /unsupported key type/],
] as const)
  test(`weak public key: ${name}`, () => {
    const text = pem.export({ type: 'spki', format: 'pem' }) as string;
    assert.throws(() => parseSigstoreKey(text), { code: 'bad-key', message: why });
  });

test('S08: trailing PEM data', () => {
  const pem = formatSigstoreKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey);
  assert.throws(() => parseSigstoreKey(`${pem}${pem}`), { code: 'bad-key' });
  assert.throws(() => parseSigstoreKey(`${pem}x`), { code: 'bad-key' });
  assert.deepEqual(readPem(''), []);
});

// Keys with a log entry.

const PAIR = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const KEY_WITH_LOG = {
  keyData: base64(formatSigstoreKey(PAIR.publicKey)),
  rekorPublicKeyData: base64(LOG.publicKey),
};

test('Rekor: an entry by one of the log keys is accepted', async () => {
  const signature = await signed(PAIR, (logged) => LOG.entry(logged, NOW));
  await admit(KEY_WITH_LOG, signature);
  const others = [base64(new TestLog().publicKey), base64(LOG.publicKey)];
  await admit({ keyData: KEY_WITH_LOG.keyData, rekorPublicKeyDatas: others }, signature);
});

const otherPair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
for (const [name, log, why] of [
  ['none', undefined, /missing dev.sigstore.cosign\/bundle annotation/],
  ['one of another log', (logged: LoggedSignature) => new TestLog().entry(logged, NOW), /Rekor SET failed/],
  [
    'one for another artifact',
    (logged: LoggedSignature) => LOG.entry({ ...logged, payload: Buffer.from('other') }, NOW),
    /payload in Rekor SET does not match/,
  ],
  [
    'one for another signature',
    (logged: LoggedSignature) => LOG.entry({ ...logged, signature: Buffer.from('other') }, NOW),
    /signature in Rekor SET does not match/,
  ],
  [
    'one for another key',
    (logged: LoggedSignature) =>
      LOG.entry({ ...logged, keyOrCertificate: formatSigstoreKey(otherPair.publicKey) }, NOW),
    /publicKey in Rekor SET does not match/,
  ],
  [
    'one with two keys',
    (logged: LoggedSignature) =>
      LOG.entry({ ...logged, keyOrCertificate: logged.keyOrCertificate.repeat(2) }, NOW),
    /trailing data/,
  ],
  [
    'an edited payload',
    (logged: LoggedSignature) => LOG.entry(logged, NOW).replace('"logIndex":7', '"logIndex":8'),
    /Rekor SET failed/,
  ],
  [
    'an unknown key',
    (logged: LoggedSignature) => LOG.entry(logged, NOW).replace('{', '{"x":1,'),
    /Unknown key "x"/,
  ],
  [
    'a duplicate key',
    (logged: LoggedSignature) => LOG.entry(logged, NOW).replace('{', '{"Payload":{},'),
    /duplicate key/,
  ],
  ['no JSON', () => 'x', /not valid JSON/],
  [
    'an entry of another kind',
    (logged: LoggedSignature) =>
      LOG.entry(logged, NOW, (payload) => ({
        ...payload,
        body: base64('{"apiVersion":"0.0.1","kind":"intoto"}'),
      })),
    /invalid kind value/,
  ],
  [
    'a fractional time',
    (logged: LoggedSignature) => LOG.entry(logged, NOW, (payload) => ({ ...payload, integratedTime: 1.5 })),
    /wrong type/,
  ],
] as const)
  test(`S08 Rekor entry refused: ${name}`, async () => {
    const signature = await signed(PAIR, log);
    await assert.rejects(admit(KEY_WITH_LOG, signature), { code: 'invalid-signature', message: why });
  });

// Fulcio.

const FULCIO = {
  fulcio: { caData: base64(ROOT.pem), oidcIssuer: 'https://issuer.example', subjectEmail: 'dev@example.com' },
  rekorPublicKeyData: base64(LOG.publicKey),
};
const LEAF: CertificateOptions = {
  name: 'leaf',
  issuer: ROOT,
  emails: ['dev@example.com'],
  issuerV1: 'https://issuer.example',
  from: NOW - HOUR,
  to: NOW + HOUR,
};

async function fulcioSigned(
  options: CertificateOptions,
  atMs: number,
  chain?: string,
): Promise<SignatureBlob> {
  const leaf = makeCertificate(NOW, options);
  const identity = { privateKey: leaf.secret, certificate: leaf.pem, ...(chain && { chain }) };
  return signed(identity, (logged) => LOG.entry(logged, atMs));
}

const MIDDLE = makeCertificate(NOW, { name: 'middle', issuer: ROOT, authority: true, pathLength: 0 });
const STRANGER = makeCertificate(NOW, { name: 'root', authority: true });

test('Fulcio: accepted, also years after the certificate ended', async () => {
  await admit(FULCIO, await fulcioSigned(LEAF, NOW));
  await admit(FULCIO, await fulcioSigned(LEAF, NOW), NOW + 1000 * 24 * HOUR);
  await admit(
    FULCIO,
    await fulcioSigned({ ...LEAF, issuerV1: undefined, issuerV2: 'https://issuer.example' }, NOW),
  );
  await admit(FULCIO, await fulcioSigned({ ...LEAF, issuer: MIDDLE }, NOW, MIDDLE.pem + ROOT.pem));
});

for (const [name, options, atMs, why, chain] of [
  ['S11: signed before the certificate', {}, NOW - 2 * HOUR, /not yet valid/],
  ['S11: signed after the certificate', {}, NOW + 2 * HOUR, /has expired/],
  ['another issuer', { issuerV1: 'https://evil.example' }, NOW, /Unexpected Fulcio OIDC issuer/],
  ['no issuer', { issuerV1: undefined }, NOW, /missing the issuer extension/],
  ['two issuers that disagree', { issuerV2: 'https://evil.example' }, NOW, /inconsistent OIDC issuer/],
  ['another email', { emails: ['x@example.com'] }, NOW, /Required email/],
  ['an email with another case', { emails: ['Dev@example.com'] }, NOW, /Required email/],
  ['an unknown authority of the same name', { issuer: STRANGER }, NOW, /unknown authority/],
  ['a leaf for TLS', { purposes: ['1.3.6.1.5.5.7.3.1'] }, NOW, /not for code signing/],
  [
    'an unknown critical extension',
    { extra: [['1.2.3.4', true, Buffer.from([5, 0])]] },
    NOW,
    /unhandled critical extension 1.2.3.4/,
  ],
  ['a missing intermediate', { issuer: MIDDLE }, NOW, /unknown authority/],
  [
    'S11: an expired intermediate',
    { issuer: makeCertificate(NOW, { name: 'old', issuer: ROOT, authority: true, to: NOW - HOUR }) },
    NOW,
    /has expired/,
    'issuer',
  ],
  [
    'an intermediate that is no authority',
    { issuer: makeCertificate(NOW, { name: 'notca', issuer: ROOT }) },
    NOW,
    /not an authority/,
    'issuer',
  ],
  [
    'too many intermediates',
    { issuer: makeCertificate(NOW, { name: 'below', issuer: MIDDLE, authority: true }) },
    NOW,
    /too many intermediates/,
    'both',
  ],
  [
    'name constraints',
    {
      issuer: makeCertificate(NOW, {
        name: 'nc',
        issuer: ROOT,
        authority: true,
        // Mail of only.test alone.
        extra: [['2.5.29.30', true, Buffer.from('300fa00d300b8109', 'hex')]].map(
          ([oid, critical, head]) =>
            [oid, critical, Buffer.concat([head as Buffer, Buffer.from('only.test')])] as [
              string,
              boolean,
              Buffer,
            ],
        ),
      }),
    },
    NOW,
    /name constraints/,
    'issuer',
  ],
] as const)
  test(`Fulcio refused: ${name}`, async () => {
    const given = { ...LEAF, ...(options as Partial<CertificateOptions>) };
    const issuerPem = given.issuer?.pem ?? '';
    const pem =
      chain === 'both'
        ? issuerPem + MIDDLE.pem + ROOT.pem
        : chain === 'issuer'
          ? issuerPem + ROOT.pem
          : undefined;
    const signature = await fulcioSigned(given, atMs, pem);
    await assert.rejects(admit(FULCIO, signature), { code: 'invalid-signature', message: why });
  });

test('S08: a certificate that is not the logged one', async () => {
  const signature = await fulcioSigned(LEAF, NOW);
  if (signature.kind !== 'sigstore') throw new Error('not sigstore');
  const other = makeCertificate(NOW, { ...LEAF, name: 'other' });
  const annotations = { ...signature.annotations, [ANNOTATION.certificate]: other.pem };
  await assert.rejects(admit(FULCIO, { ...signature, annotations }), /publicKey in Rekor SET does not match/);
});

// A private authority.

const PKI = { pki: { caRootsData: base64(ROOT.pem), subjectHostname: 'build.example.com' } };

test('PKI: host, email, configured intermediates; certificates must be valid now', async () => {
  const leaf = makeCertificate(NOW, {
    name: 'l',
    issuer: MIDDLE,
    hosts: ['build.example.com'],
    emails: ['a@b.example'],
  });
  const signature = await signed({ privateKey: leaf.secret, certificate: leaf.pem });
  const pki = { ...PKI.pki, caIntermediatesData: base64(`Middle:\n${MIDDLE.pem}`) };
  await admit({ pki }, signature);
  await admit({ pki: { ...pki, subjectEmail: 'a@b.example' } }, signature);
  await assert.rejects(admit(PKI, signature), /unknown authority/);
  await assert.rejects(admit({ pki: { ...pki, subjectEmail: 'x@b.example' } }, signature), /Required email/);
  await assert.rejects(
    admit({ pki: { ...pki, subjectHostname: 'evil.example.com' } }, signature),
    /subject hostname/,
  );
  await assert.rejects(admit({ pki }, signature, NOW + 72 * HOUR), /has expired/);
  const bare = await signed({ privateKey: leaf.secret });
  await assert.rejects(admit({ pki }, bare), /missing dev.sigstore.cosign\/certificate annotation/);
});

test('canonical JSON: RFC 8785', () => {
  assert.equal(
    canonicalJson({ b: [1e21, 0.5, -0], a: 'é\u2028"\n', '\ud83d': null }),
    '{"a":"é\u2028\\"\\n","b":[1e+21,0.5,0],"\\ud83d":null}',
  );
});

test('signature bytes of any length never throw', () => {
  for (const key of [
    PAIR.publicKey,
    generateKeyPairSync('ed25519').publicKey,
    generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey,
  ])
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(64), Buffer.alloc(300, 0x30)])
      assert.equal(verifyBlob(key, MANIFEST, bytes), false);
  assert.equal(verifyBlob(PAIR.publicKey, MANIFEST, signBlob(PAIR.privateKey, MANIFEST)), true);
});

for (const [name, text, why] of [
  ['nothing', '{}', /no private key source provided/],
  ['an unknown key', 'privateKeyFile: a\nprivatekeyfile: b\n', /field privatekeyfile not found/],
  [
    'both sources',
    'privateKeyFile: a\nfulcio: {fulcioURL: "https://f", oidcMode: staticToken, oidcIDToken: x}\n',
    /multiple private key sources/,
  ],
  ['fulcio without URL', 'fulcio: {oidcMode: staticToken}\n', /missing fulcioURL/],
  ['a token without value', 'fulcio: {fulcioURL: "https://f", oidcMode: staticToken}\n', /missing oidcToken/],
  ['no issuer', 'fulcio: {fulcioURL: "https://f", oidcMode: deviceGrant}\n', /missing oidcIssuerURL/],
  [
    'an unknown mode',
    'fulcio: {fulcioURL: "https://f", oidcMode: x, oidcIssuerURL: "https://i"}\n',
    /unknown oidcMode value "x"/,
  ],
  ['a bad URL', 'privateKeyFile: a\nrekorURL: x\n', /parsing rekorURL/],
  ['a file: URL', 'privateKeyFile: a\nrekorURL: file:///x\n', /parsing rekorURL/],
  ['a list', '[]', /a mapping is expected/],
] as const)
  test(`signing parameters refused: ${name}`, async () => {
    await assert.rejects(parseSigningParameters(text, 'p.yaml'), { code: 'bad-parameters', message: why });
  });

test('signing parameters', async () => {
  const parameters = await parseSigningParameters(
    'privateKeyFile: /k\nprivateKeyPassphraseFile: /p\nrekorURL: https://r.example\n',
    'p',
  );
  assert.deepEqual(parameters, {
    privateKeyFile: '/k',
    privateKeyPassphraseFile: '/p',
    rekorUrl: new URL('https://r.example'),
  });
});

test.run();
