import assert from 'node:assert/strict';
import { test } from 'uvu';
import { type Certificate, parseTrustedCertificates } from '../../sign/sigstore/certificate.ts';
import { type TimeAuthority, verifyTimestamp } from '../../sign/sigstore/timestamp.ts';
import { type ResponseOptions, TIME_STAMPING, timestampResponse } from '../support/timestamp.ts';
import { type CertificateOptions, makeCertificate, type TestCertificate } from '../support/x509.ts';

const NOW = Date.UTC(2026, 5, 1);
const HOUR = 3_600_000;
const SIGNED = Buffer.from('signature');
const parse = ({ pem }: TestCertificate) => parseTrustedCertificates(Buffer.from(pem))[0] as Certificate;

const ROOT = makeCertificate(NOW, { name: 'tsa root', authority: true });
const authority = (options: Partial<CertificateOptions> = {}) =>
  makeCertificate(NOW, {
    name: 'tsa',
    issuer: ROOT,
    purposes: [TIME_STAMPING],
    purposesCritical: true,
    ...options,
  });
const TSA = authority();
const TRUST: TimeAuthority = { roots: [parse(ROOT)], others: [parse(TSA)] };

function check(options: Partial<ResponseOptions> = {}, trust: TimeAuthority = TRUST, signer = TSA): number {
  return verifyTimestamp(timestampResponse(signer, SIGNED, { atMs: NOW, ...options }), SIGNED, [trust]);
}

test('the time of a timestamp, with the certificate given or in the token', () => {
  assert.equal(check(), NOW);
  const rootOnly = { roots: [parse(ROOT)], others: [] };
  assert.equal(check({ certificates: [TSA] }, rootOnly), NOW);
  assert.throws(() => check({}, rootOnly), /certificate of the time stamping authority is not known/);
});

test('one of several authorities is enough', () => {
  const stranger = { roots: [parse(makeCertificate(NOW, { name: 'x', authority: true }))], others: [] };
  const response = timestampResponse(TSA, SIGNED, { atMs: NOW });
  assert.equal(verifyTimestamp(response, SIGNED, [stranger, TRUST]), NOW);
  assert.throws(() => verifyTimestamp(response, SIGNED, []), { code: 'invalid-signature' });
});

test('the certificate counts at the time of the timestamp, not now', () => {
  const old = authority({ from: NOW - 10 * HOUR, to: NOW - 8 * HOUR });
  const trust = { roots: [parse(ROOT)], others: [parse(old)] };
  assert.equal(check({ atMs: NOW - 9 * HOUR }, trust, old), NOW - 9 * HOUR);
});

const refused: readonly (readonly [string, RegExp, Partial<ResponseOptions>])[] = [
  ['the authority refused', /refused/, { status: 2 }],
  ['the content was changed after signing', /not the signed one/, { tamper: true }],
  ['two signers', /exactly one signer/, { twice: true }],
  ['SHA-1', /weak or unknown/, { hash: '1.3.14.3.2.26' }],
  ['another kind of content', /something else/, { contentType: '1.2.840.113549.1.7.1' }],
  ['no signing certificate named', /does not name its signing certificate/, { names: 'none' }],
  ['another certificate named', /is not known/, { names: ROOT }],
];
for (const [name, why, options] of refused)
  test(`timestamp refused: ${name}`, () => {
    assert.throws(() => check(options), {
      code: 'invalid-signature',
      message: why,
    });
  });

test('timestamp refused: over another signature', () => {
  const response = timestampResponse(TSA, Buffer.from('other'), { atMs: NOW });
  assert.throws(() => verifyTimestamp(response, SIGNED, [TRUST]), /about something else/);
});

const signers: readonly (readonly [string, RegExp, Partial<CertificateOptions>, number?])[] = [
  ['made before the certificate', /not yet valid/, {}, NOW - 48 * HOUR],
  ['made after the certificate', /has expired/, {}, NOW + 48 * HOUR],
  ['a certificate for code signing', /not for timestamping alone/, { purposes: ['1.3.6.1.5.5.7.3.3'] }],
  [
    'a certificate for code signing as well',
    /not for timestamping alone/,
    { purposes: [TIME_STAMPING, '1.3.6.1.5.5.7.3.3'] },
  ],
  ['a purpose that is not critical', /not for timestamping alone/, { purposesCritical: false }],
  [
    'an unknown root',
    /unknown authority/,
    { issuer: makeCertificate(NOW, { name: 'tsa root', authority: true }) },
  ],
];
for (const [name, why, options, atMs = NOW] of signers)
  test(`timestamp refused: ${name}`, () => {
    const signer = authority(options);
    const trust = { roots: [parse(ROOT)], others: [parse(signer)] };
    assert.throws(() => check({ atMs }, trust, signer), { code: 'invalid-signature', message: why });
  });

test('timestamp refused: a key that is not the named certificate’s', () => {
  const thief = { ...authority(), der: TSA.der };
  assert.throws(() => check({}, TRUST, thief), /cryptographic signature verification/);
});

test('timestamp refused: an authority that was trusted at another time', () => {
  assert.throws(() => check({}, { ...TRUST, fromMs: NOW + 1 }), /not trusted at that time/);
  assert.throws(() => check({}, { ...TRUST, toMs: NOW - 1 }), /not trusted at that time/);
  assert.equal(check({}, { ...TRUST, fromMs: NOW, toMs: NOW }), NOW);
});

test('cut and changed responses are refused, never accepted as another time', () => {
  const response = Buffer.from(timestampResponse(TSA, SIGNED, { atMs: NOW, certificates: [TSA] }));
  for (let at = 0; at < response.length; at += 1) {
    assert.throws(() => verifyTimestamp(response.subarray(0, at), SIGNED, [TRUST]), {
      code: 'invalid-signature',
    });
    const changed = Buffer.from(response);
    changed[at] = (changed[at] as number) ^ 0x21;
    try {
      assert.equal(verifyTimestamp(changed, SIGNED, [TRUST]), NOW);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'invalid-signature');
    }
  }
});

test.run();
