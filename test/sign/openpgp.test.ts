import assert from 'node:assert/strict';
import { test } from 'uvu';
import { readKeyring } from '../../sign/simple/keyring.ts';
import { verifyMessage } from '../../sign/simple/verify.ts';
import {
  certificate,
  compressed,
  days,
  literal,
  makeKey,
  message,
  messageParts,
  NOW_MS,
  NOW_SECONDS,
  packet,
  signatureBody,
} from '../support/openpgp.ts';

const KEY = makeKey();
const OTHER = makeKey();
const RING = readKeyring([certificate(KEY)]);
const CONTENT = Buffer.from('{"signed":true}');
const PARTS = messageParts(KEY, CONTENT);
const check = (bytes: Uint8Array, ring = RING) => verifyMessage(bytes, ring, NOW_MS);

function refused(name: string, bytes: () => Uint8Array, why: RegExp, ring = () => RING): void {
  test(name, () => {
    assert.throws(() => check(bytes(), ring()), {
      name: 'SignError',
      code: 'invalid-signature',
      message: why,
    });
  });
}

for (const [name, bytes] of [
  ['one-pass form', message(KEY, CONTENT)],
  ['compressed, as gpg writes', compressed(message(KEY, CONTENT))],
  ['uncompressed compression packet', packet(8, Buffer.from([0]), message(KEY, CONTENT))],
  ['old form, signature before data', Buffer.concat([PARTS.signature, PARTS.literal])],
  ['version 3 signature', message(KEY, CONTENT, { version: 3 })],
  ['SHA-512', message(KEY, CONTENT, { hash: 10 })],
  ['SHA-1, which GnuPG takes for data', message(KEY, CONTENT, { hash: 2 })],
  [
    'old-format header with indeterminate length',
    Buffer.concat([Buffer.from([0xa3, 0]), message(KEY, CONTENT)]),
  ],
] as const)
  test(`accepted: ${name}`, () => {
    const result = check(bytes);
    assert.deepEqual(Buffer.from(result.content), CONTENT);
    assert.equal(result.primaryFingerprint, KEY.fingerprint);
  });

const evil = literal(Buffer.from('{"evil":true}'));
refused(
  'S01: a literal packet before the message',
  () => Buffer.concat([evil, message(KEY, CONTENT)]),
  /not a plain signed/,
);
refused(
  'S01: a literal packet behind the message',
  () => Buffer.concat([message(KEY, CONTENT), evil]),
  /not a plain signed/,
);
refused(
  'S01: two literal packets inside',
  () => Buffer.concat([PARTS.onePass, evil, PARTS.literal, PARTS.signature]),
  /not a plain signed/,
);
refused(
  'S01: a compressed packet behind the message',
  () => Buffer.concat([message(KEY, CONTENT), compressed(evil)]),
  /not a plain signed/,
);
refused(
  'S01: compression inside compression',
  () => compressed(compressed(message(KEY, CONTENT))),
  /count 0/,
);
refused(
  'S01: the signed part compressed within the message',
  () => Buffer.concat([PARTS.onePass, compressed(PARTS.literal), PARTS.signature]),
  /not a plain signed/,
);
refused(
  'S01: an unknown packet between',
  () => Buffer.concat([PARTS.onePass, packet(60, CONTENT), PARTS.literal, PARTS.signature]),
  /not a plain/,
);
refused(
  'S02: algorithm confusion between one-pass packet and signature',
  () =>
    Buffer.concat([
      packet(4, Buffer.from([3, 0, 10, 27]), Buffer.alloc(8), Buffer.from([1])),
      PARTS.literal,
      PARTS.signature,
    ]),
  /disagree/,
);
refused(
  'S02: replaced content',
  () => Buffer.concat([PARTS.onePass, evil, PARTS.signature]),
  /does not match the data/,
);
refused(
  'S03: clear-signed text',
  () =>
    Buffer.from(
      '-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{}\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n',
    ),
  /not OpenPGP data/,
);
refused(
  'S03: armor',
  () => Buffer.from('-----BEGIN PGP MESSAGE-----\n\nxA0D\n-----END PGP MESSAGE-----\n'),
  /not OpenPGP data/,
);
refused('S03: a detached signature', () => PARTS.signature, /not a plain signed/);
refused('S04: empty', () => Buffer.alloc(0), /empty signature/);
refused('S04: garbage', () => Buffer.from([0xff, 0xff, 0xff]), /ends too early/);
refused('S04: a literal alone', () => literal(CONTENT), /count 0/);
refused('S04: encrypted data', () => packet(18, Buffer.from([1]), CONTENT), /count 0/);
refused('S04: no signature', () => Buffer.concat([PARTS.onePass, PARTS.literal]), /count 0/);
refused(
  'S04: two signatures',
  () => Buffer.concat([PARTS.onePass, PARTS.onePass, PARTS.literal, PARTS.signature, PARTS.signature]),
  /count 2/,
);
refused('S04: unknown key', () => message(OTHER, CONTENT), /Key not found/);
refused('S04: no issuer named', () => message(KEY, CONTENT, { noIssuer: true }), /Key not found/);
refused(
  'S04: expired signature',
  () => message(KEY, CONTENT, { created: NOW_SECONDS - days(2), lifetime: days(1) }),
  /Signature expired on/,
);
refused(
  'S04: signature from the future',
  () => message(KEY, CONTENT, { created: NOW_SECONDS + 10 }),
  /in the future/,
);
refused(
  'S04: signature older than its key',
  () => message(KEY, CONTENT, { created: KEY.created - 1 }),
  /older than key/,
);
refused('S04: text signature', () => message(KEY, CONTENT, { type: 1 }), /not one over binary data/);
refused(
  'S04: a certification used as data signature',
  () => message(KEY, CONTENT, { type: 0x13 }),
  /not one over binary/,
);
refused('S04: MD5', () => message(KEY, CONTENT, { hash: 1 }), /refused hash algorithm 1/);
refused(
  'S04: unknown critical subpacket',
  () => message(KEY, CONTENT, { hashed: [[0x80 | 101, Buffer.alloc(1)]] }),
  /critical/,
);
refused(
  'S04: a critical notation',
  () => message(KEY, CONTENT, { hashed: [[0x80 | 20, Buffer.alloc(8)]] }),
  /critical/,
);
refused(
  'S06: compression bomb',
  () => compressed(literal(Buffer.alloc(8 * 1024 * 1024))),
  /broken or too large/,
);
refused('S06: signature over 4 MiB', () => Buffer.alloc(4 * 1024 * 1024 + 1, 0xc4), /exceeds the limit/);
refused(
  'S06: data behind the compressed data',
  () => {
    const whole = compressed(message(KEY, CONTENT));
    return packet(8, whole.subarray(2), Buffer.from('trailing'));
  },
  /data behind/,
);
refused('partial lengths for a signature packet', () => Buffer.from([0xc2, 0xe0, 0, 0]), /partial lengths/);

test('corrupt bytes never verify', () => {
  const good = message(KEY, CONTENT);
  for (let at = 0; at < good.length; at += 1) {
    const bytes = Buffer.from(good);
    bytes[at] = (bytes[at] as number) ^ 0x41;
    let content: Uint8Array | undefined;
    try {
      content = check(bytes).content;
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'invalid-signature', `byte ${at}: ${error}`);
    }
    // File name, date and format of the literal packet and the hint bytes of the signature are not signed.
    if (content) assert.deepEqual(Buffer.from(content), CONTENT);
  }
});

const keyCases: readonly (readonly [string, () => Uint8Array, RegExp | undefined])[] = [
  ['a plain certificate', () => certificate(KEY), undefined],
  ['a revoked key', () => certificate(KEY, { revoked: true }), /is revoked/],
  ['an expired key', () => certificate(KEY, { self: { keyLifetime: days(50) } }), /expired on/],
  ['a key that expires later', () => certificate(KEY, { self: { keyLifetime: days(500) } }), undefined],
  ['a certify-only key', () => certificate(KEY, { self: { keyFlags: 1 } }), /not for signing/],
  ['an encryption-only key', () => certificate(KEY, { self: { keyFlags: 0x0c } }), /not for signing/],
  ['a key without self-signature', () => certificate(KEY, { noSelfSignature: true }), /Key not found/],
  ['a self-signature with MD5', () => certificate(KEY, { self: { hash: 1 } }), /Key not found/],
];
for (const [name, blob, why] of keyCases)
  test(`S04: ${name} is ${why ? 'refused' : 'accepted'}`, () => {
    const run = () => check(message(KEY, CONTENT), readKeyring([blob()]));
    if (why) assert.throws(run, { code: 'invalid-signature', message: why });
    else assert.equal(run().primaryFingerprint, KEY.fingerprint);
  });

const SUBKEY = makeKey(90);
const subkeyCases: readonly (readonly [string, Parameters<typeof certificate>[1], RegExp | undefined])[] = [
  ['a signing subkey', { subkey: { key: SUBKEY } }, undefined],
  ['S02: a subkey without binding', { subkey: { key: SUBKEY, noBinding: true } }, /Key not found/],
  [
    'S02: a subkey that does not vouch back',
    { subkey: { key: SUBKEY, noBackSignature: true } },
    /does not vouch/,
  ],
  ['a revoked subkey', { subkey: { key: SUBKEY, revoked: true } }, /is revoked/],
  ['an encryption subkey', { subkey: { key: SUBKEY, binding: { keyFlags: 0x0c } } }, /not for signing/],
  ['a subkey without flags', { subkey: { key: SUBKEY, binding: { keyFlags: 0 } } }, /not for signing/],
  ['an expired subkey', { subkey: { key: SUBKEY, binding: { keyLifetime: days(1) } } }, /expired on/],
  ['a subkey of a revoked key', { revoked: true, subkey: { key: SUBKEY } }, /is revoked/],
];
for (const [name, fields, why] of subkeyCases)
  test(name, () => {
    const ring = readKeyring([certificate(KEY, fields)]);
    const run = () => check(message(SUBKEY, CONTENT), ring);
    if (why) assert.throws(run, { message: why });
    else
      assert.deepEqual([run().fingerprint, run().primaryFingerprint], [SUBKEY.fingerprint, KEY.fingerprint]);
  });

test('a revocation in one copy of a certificate counts for the other copies', () => {
  const [valid, revoked] = [certificate(KEY), certificate(KEY, { revoked: true })];
  const subkeyRevoked = certificate(KEY, { subkey: { key: SUBKEY, revoked: true } });
  for (const blobs of [[valid, revoked], [revoked, valid], [Buffer.concat([valid, revoked])]])
    assert.throws(() => check(message(KEY, CONTENT), readKeyring(blobs)), { message: /is revoked/ });
  const ring = readKeyring([certificate(KEY, { subkey: { key: SUBKEY } }), subkeyRevoked]);
  assert.throws(() => check(message(SUBKEY, CONTENT), ring), { message: /is revoked/ });
  assert.deepEqual(ring.fingerprints, [KEY.fingerprint]);
});

test('S02: a subkey bound by another primary key is not adopted', () => {
  const foreign = certificate(OTHER, { subkey: { key: SUBKEY } });
  const start = foreign.indexOf(packet(14, SUBKEY.packetBody));
  const ring = readKeyring([Buffer.concat([certificate(KEY), foreign.subarray(start)])]);
  assert.throws(() => check(message(SUBKEY, CONTENT), ring), { message: /Key not found/ });
});

test('several certificates: one file, several files, several armor blocks', () => {
  const armor = (bytes: Buffer) =>
    `-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\n${bytes.toString('base64')}\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n`;
  const both = [KEY.fingerprint, OTHER.fingerprint];
  const [a, b] = [certificate(KEY), certificate(OTHER)];
  assert.deepEqual(readKeyring([Buffer.concat([a, b])]).fingerprints, both);
  assert.deepEqual(readKeyring([a, b]).fingerprints, both);
  assert.deepEqual(
    readKeyring([Buffer.from(`text\n${armor(a)}\nmore text\n${armor(b)}`)]).fingerprints,
    both,
  );
  assert.deepEqual(readKeyring([a]).userIds, ['Test <test@example.com>']);
  assert.deepEqual(readKeyring([Buffer.alloc(0)]).fingerprints, []);
});

for (const [name, blob, why] of [
  ['a secret key packet', packet(5, KEY.packetBody), /secret key/],
  [
    'an armored secret key',
    Buffer.from('-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n'),
    /PRIVATE KEY BLOCK where/,
  ],
  [
    'a sigstore public key',
    Buffer.from('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'),
    /PEM data/,
  ],
  ['a signature', packet(2, signatureBody(KEY, [CONTENT])), /not a file of OpenPGP public keys/],
  ['text', Buffer.from('This is invalid'), /not a file of OpenPGP/],
  ['armor without end', Buffer.from('-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n'), /has no end/],
  ['truncated packets', certificate(KEY).subarray(0, 60), /ends too early/],
] as const)
  test(`key material in the wrong file: ${name}`, () => {
    assert.throws(() => readKeyring([blob]), { code: 'bad-key', message: why });
  });

test('keys and signatures of the openpgp library verify', async () => {
  const openpgp = await import('openpgp');
  const { signWithKeyFile, keyFileFingerprint } = await import('../../sign/simple/sign-with-key-file.ts');
  const kinds = [
    { type: 'ecc', curve: 'ed25519Legacy' },
    { type: 'ecc', curve: 'nistP256' },
    { type: 'ecc', curve: 'nistP384' },
    { type: 'curve25519' },
    { type: 'rsa', rsaBits: 2048 },
  ] as const;
  for (const kind of kinds) {
    const pair = await openpgp.generateKey({
      ...kind,
      userIDs: [{ email: 'a@example.com' }],
      passphrase: 'secret',
    });
    const file = Buffer.from(pair.privateKey);
    const signed = await signWithKeyFile(CONTENT, file, 'secret');
    const ring = readKeyring([Buffer.from(pair.publicKey)]);
    const result = verifyMessage(signed, ring, Date.now() + 1000);
    assert.deepEqual(Buffer.from(result.content), CONTENT);
    assert.equal(result.primaryFingerprint, await keyFileFingerprint(file));
    await assert.rejects(signWithKeyFile(CONTENT, file, 'wrong'), { code: 'bad-passphrase' });
    await assert.rejects(signWithKeyFile(CONTENT, file, undefined), { code: 'bad-passphrase' });
    await assert.rejects(signWithKeyFile(CONTENT, Buffer.from(pair.publicKey), 'secret'), {
      code: 'bad-key',
    });
  }
});

test('version 6 keys and signatures (RFC 9580) verify', async () => {
  const openpgp = await import('openpgp');
  const config = { v6Keys: true };
  for (const type of ['curve25519', 'curve448'] as const) {
    const pair = await openpgp.generateKey({ type, userIDs: [{ name: 'six' }], format: 'object', config });
    const text = await openpgp.createMessage({ binary: Uint8Array.from(CONTENT) });
    const signed = await openpgp.sign({
      message: text,
      signingKeys: pair.privateKey,
      format: 'binary',
      config,
    });
    const result = verifyMessage(
      signed as Uint8Array,
      readKeyring([pair.publicKey.write()]),
      Date.now() + 1000,
    );
    assert.equal(result.primaryFingerprint, pair.publicKey.getFingerprint().toUpperCase());
    assert.deepEqual(Buffer.from(result.content), CONTENT);
  }
});

test.run();
