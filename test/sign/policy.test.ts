import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { parsePolicy } from '../../config/policy.ts';
import { type Digest, digestOf } from '../../image/digest.ts';
import { parseReference } from '../../image/reference.ts';
import type { SignatureBlob } from '../../image/signature.ts';
import { formatPayload } from '../../sign/payload.ts';
import { createPolicy } from '../../sign/policy/policy.ts';
import type { PolicySubject } from '../../sign/policy/subject.ts';
import { createSigstoreSigner } from '../../sign/sigstore/signer.ts';
import { certificate, makeKey, message, NOW_MS } from '../support/openpgp.ts';

const test = suite<{ directory: string }>('policy');
test.before.each((context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-sign-policy-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const MANIFEST = Buffer.from('{"schemaVersion":2}');
const NAME = 'reg.example/team/app:1';
const KEY = makeKey();
const OTHER_KEY = makeKey();
const KEY_DATA = certificate(KEY).toString('base64');
const SIGSTORE = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const SIGSTORE_DATA = Buffer.from(SIGSTORE.publicKey.export({ type: 'spki', format: 'pem' })).toString(
  'base64',
);
const SIGNED_BY = { type: 'signedBy', keyType: 'GPGKeys', keyData: KEY_DATA };
const SIGSTORE_SIGNED = { type: 'sigstoreSigned', keyData: SIGSTORE_DATA };
const ACCEPT = { type: 'insecureAcceptAnything' };
const REJECT = { type: 'reject' };

function simple(options: { key?: typeof KEY; manifest?: Uint8Array; name?: string } = {}): SignatureBlob {
  const { key = KEY, manifest = MANIFEST, name = NAME } = options;
  const payload = formatPayload('simple', { digest: digestOf(manifest), reference: name });
  return { kind: 'simple', bytes: message(key, payload) };
}

function sigstore(manifest: Uint8Array = MANIFEST, name = NAME) {
  const signer = createSigstoreSigner({
    identity: async () => ({ privateKey: SIGSTORE.privateKey }),
    creator: 'test',
    now: () => NOW_MS,
  });
  return signer.sign(manifest, parseReference(name));
}

function image(
  signatures: readonly SignatureBlob[],
  change: Partial<PolicySubject['reference']> = {},
): PolicySubject {
  return {
    reference: {
      transport: 'docker',
      within: `//${NAME}`,
      named: parseReference(NAME),
      policyIdentity: NAME,
      policyNamespaces: ['reg.example/team/app', 'reg.example/team', 'reg.example', '*.example'],
      ...change,
    },
    manifest: { bytes: MANIFEST },
    signatures: async () => signatures,
  };
}

function admit(policy: object, subject: PolicySubject, requireSigned = false): Promise<void> {
  return createPolicy(parsePolicy(JSON.stringify(policy)), { now: () => NOW_MS, requireSigned }).admit(
    subject,
  );
}

const rejected = (message: string | RegExp) => ({
  name: 'SignError',
  message: typeof message === 'string' ? `Source image rejected: ${message}` : message,
});

for (const [name, scopes, chosen] of [
  ['the exact scope', { [NAME]: 1, 'reg.example/team/app': 0, 'reg.example': 0, '': 0 }, true],
  ['the longest namespace', { 'reg.example/team': 1, 'reg.example': 0, '*.example': 0, '': 0 }, true],
  ['the host', { 'reg.example': 1, '*.example': 0, '': 0 }, true],
  ['a wildcard', { '*.example': 1, '': 0 }, true],
  ['the transport default', { '': 1, 'other.example': 0 }, true],
  ['the global default when nothing fits', { 'other.example': 1, 'reg.example/team/ap': 1 }, false],
] as const)
  test(`S15 selection: ${name}`, async () => {
    const docker = Object.fromEntries(
      Object.entries(scopes).map(([scope, wanted]) => [scope, [wanted ? ACCEPT : REJECT]]),
    );
    const run = admit({ default: [REJECT], transports: { docker } }, image([]));
    if (chosen) await run;
    else await assert.rejects(run, rejected(`Running image docker://${NAME} is rejected by policy.`));
  });

test('S15: another transport uses its own section, then the default', async () => {
  const policy = {
    default: [REJECT],
    transports: { docker: { '': [ACCEPT] }, dir: { '/images': [ACCEPT] } },
  };
  const within = { within: '/images/a', policyIdentity: '/images/a', named: undefined };
  await admit(policy, image([], { transport: 'dir', ...within, policyNamespaces: ['/images'] }));
  await assert.rejects(
    admit(policy, image([], { transport: 'oci', ...within, policyNamespaces: ['/images'] })),
    rejected('Running image oci:/images/a is rejected by policy.'),
  );
});

test('S15: every requirement must hold, and reject wins', async () => {
  const signed = image([simple()]);
  await admit({ default: [ACCEPT, SIGNED_BY] }, signed);
  await assert.rejects(admit({ default: [SIGNED_BY, REJECT] }, signed), rejected(/rejected by policy/));
  await assert.rejects(
    admit(
      { default: [SIGNED_BY, { ...SIGNED_BY, keyData: certificate(OTHER_KEY).toString('base64') }] },
      signed,
    ),
    rejected(/Key not found/),
  );
});

test('S18: --require-signed refuses a policy that checks no signature', async () => {
  await assert.rejects(
    admit({ default: [ACCEPT] }, image([simple()]), true),
    rejected(`No signature verification policy found for image docker:${NAME}`),
  );
  await admit({ default: [SIGNED_BY] }, image([simple()]), true);
});

const NONE = 'A signature was required, but no signature exists';
for (const [name, signatures, why] of [
  ['a good signature', [simple()], undefined],
  ['two signatures of which one is bad', [simple({ key: OTHER_KEY }), simple()], undefined],
  ['no signature', [], NONE],
  [
    'a signature over another digest',
    [simple({ manifest: Buffer.from('other') })],
    `Signature for digest ${digestOf(Buffer.from('other'))} does not match`,
  ],
  [
    'an identity mismatch by tag',
    [simple({ name: 'reg.example/team/app:2' })],
    'Signature for identity "reg.example/team/app:2" is not accepted',
  ],
  [
    'an identity mismatch by host',
    [simple({ name: 'evil.example/team/app:1' })],
    'Signature for identity "evil.example/team/app:1" is not accepted',
  ],
  [
    'an identity mismatch by case',
    [simple({ name: 'Reg.example/team/app:1' })],
    'Signature for identity "Reg.example/team/app:1" is not accepted',
  ],
  [
    'an unknown key',
    [simple({ key: OTHER_KEY })],
    `Key not found for key ID ${OTHER_KEY.fingerprint} in signature`,
  ],
  [
    'a payload that is no JSON',
    [{ kind: 'simple', bytes: message(KEY, Buffer.from('This is not JSON\n')) }],
    /not valid JSON/,
  ],
  [
    'two bad signatures',
    [simple({ key: OTHER_KEY }), simple({ name: 'reg.example/team/app:2' })],
    /None of the signatures were accepted, reasons: Key not found .*; Signature for identity/,
  ],
] as const)
  test(`signedBy: ${name}`, async () => {
    const run = admit({ default: [SIGNED_BY] }, image(signatures as readonly SignatureBlob[]));
    if (why) await assert.rejects(run, rejected(why));
    else await run;
  });

test('signedBy: an identity mismatch by digest', async () => {
  const digest = digestOf(MANIFEST);
  const byDigest = { named: parseReference(`reg.example/team/app@${digest}`) };
  await admit({ default: [SIGNED_BY] }, image([simple()], byDigest));
  await assert.rejects(
    admit(
      { default: [{ ...SIGNED_BY, signedIdentity: { type: 'matchExact' } }] },
      image([simple()], byDigest),
    ),
    rejected(/is not accepted/),
  );
});

test('signedBy: key files, and files that cannot be read', async ({ directory }) => {
  const [good, other] = [join(directory, 'a.gpg'), join(directory, 'b.gpg')];
  writeFileSync(good, certificate(KEY));
  writeFileSync(other, certificate(OTHER_KEY));
  const by = (keyPaths: string[]) => ({ default: [{ type: 'signedBy', keyType: 'GPGKeys', keyPaths }] });
  await admit(by([other, good]), image([simple()]));
  await assert.rejects(admit(by([good, join(directory, 'none')]), image([simple()])), { code: 'bad-key' });
  writeFileSync(other, SIGSTORE_DATA);
  await assert.rejects(admit(by([other]), image([simple()])), { code: 'bad-key' });
  writeFileSync(other, '');
  await assert.rejects(admit(by([other]), image([simple()])), rejected('No public keys imported'));
});

test('signedBy: key types that only containers/image knows the name of', async () => {
  await assert.rejects(
    admit({ default: [{ ...SIGNED_BY, keyType: 'signedByX509CAs' }] }, image([simple()])),
    rejected('Unimplemented "keyType" value "signedByX509CAs"'),
  );
});

test('key file swapped during the run: the first content counts', async ({ directory }) => {
  const keyPath = join(directory, 'a.gpg');
  writeFileSync(keyPath, certificate(OTHER_KEY));
  const policy = createPolicy(
    parsePolicy(JSON.stringify({ default: [{ type: 'signedBy', keyType: 'GPGKeys', keyPath }] })),
    { now: () => NOW_MS },
  );
  await assert.rejects(policy.admit(image([simple()])), /Key not found/);
  writeFileSync(keyPath, certificate(KEY));
  await assert.rejects(policy.admit(image([simple()])), /Key not found/);
});

test('sigstoreSigned: good, none, other kinds, other digest, other key', async () => {
  const policy = { default: [SIGSTORE_SIGNED] };
  await admit(policy, image([await sigstore()]));
  await admit(policy, image([simple(), await sigstore(Buffer.from('other')), await sigstore()]));
  await assert.rejects(admit(policy, image([])), rejected(NONE));
  const attestation = { ...(await sigstore()), mediaType: 'application/vnd.dsse.envelope.v1+json' };
  await assert.rejects(
    admit(policy, image([simple(), attestation])),
    rejected(`${NONE} (1 non-sigstore signatures, 1 sigstore non-signature attachments)`),
  );
  await assert.rejects(
    admit(policy, image([await sigstore(Buffer.from('other'))])),
    rejected(/^.*Signature for digest/),
  );
  await assert.rejects(
    admit(policy, image([await sigstore(MANIFEST, 'reg.example/x:1')])),
    rejected(/identity/),
  );
  const stranger = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' });
  const keyDatas = [Buffer.from(stranger).toString('base64')];
  await assert.rejects(
    admit({ default: [{ type: 'sigstoreSigned', keyDatas }] }, image([await sigstore()])),
    rejected(/cryptographic signature verification failed/),
  );
  await admit(
    { default: [{ type: 'sigstoreSigned', keyDatas: [...keyDatas, SIGSTORE_DATA] }] },
    image([await sigstore()]),
  );
});

test('sigstoreSigned: annotations that are missing or malformed', async () => {
  const signature = await sigstore();
  const bad = (annotations: Record<string, string>) => image([{ ...signature, annotations }]);
  const policy = { default: [SIGSTORE_SIGNED] };
  await assert.rejects(
    admit(policy, bad({})),
    rejected('missing dev.cosignproject.cosign/signature annotation'),
  );
  await assert.rejects(
    admit(policy, bad({ 'dev.cosignproject.cosign/signature': '!' })),
    rejected(/invalid base64/),
  );
  await assert.rejects(
    admit(policy, bad({ 'dev.cosignproject.cosign/signature': 'AAAA' })),
    rejected(/failed/),
  );
});

test('key material in the wrong file: an OpenPGP key for sigstoreSigned', async () => {
  await assert.rejects(
    admit({ default: [{ type: 'sigstoreSigned', keyData: KEY_DATA }] }, image([await sigstore()])),
    { code: 'bad-key', message: /parsing public key 1/ },
  );
});

test('an error while signatures are read refuses the image', async () => {
  const subject = { ...image([]), signatures: () => Promise.reject(new Error('broken')) };
  await assert.rejects(admit({ default: [SIGNED_BY] }, subject), /broken/);
});

test('the digest of a signed schema 1 or sha512 manifest is compared by its own algorithm', async () => {
  const digest = digestOf(MANIFEST, 'sha512') as Digest;
  const payload = formatPayload('simple', { digest, reference: NAME });
  await admit({ default: [SIGNED_BY] }, image([{ kind: 'simple', bytes: message(KEY, payload) }]));
  const unknown = formatPayload('simple', { digest: 'blake3:abcd' as Digest, reference: NAME });
  await assert.rejects(
    admit({ default: [SIGNED_BY] }, image([{ kind: 'simple', bytes: message(KEY, unknown) }])),
    rejected(/unsupported digest algorithm/),
  );
});

test.run();
