// Certificates made field by field, and a Rekor log of one key, so that tests control what they say.
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { JsonObject } from '../../image/json.ts';
import { DER, derEncode, derInteger, derOid } from '../../sign/der.ts';
import { canonicalJson } from '../../sign/sigstore/canonical-json.ts';
import { formatPem } from '../../sign/sigstore/pem.ts';
import { hashedRekord } from '../../sign/sigstore/rekor-client.ts';
import type { LoggedSignature } from '../../sign/sigstore/rekor-entry.ts';

export interface TestCertificate {
  readonly pem: string;
  readonly der: Buffer;
  readonly name: string;
  readonly secret: KeyObject;
  readonly publicKey: KeyObject;
}

export interface CertificateOptions {
  readonly name: string;
  /** Absent: self-signed. */
  readonly issuer?: TestCertificate;
  readonly from?: number;
  readonly to?: number;
  readonly authority?: boolean;
  readonly pathLength?: number;
  readonly emails?: readonly string[];
  readonly hosts?: readonly string[];
  readonly uris?: readonly string[];
  /** Fulcio's issuer extensions. */
  readonly issuerV1?: string;
  readonly issuerV2?: string;
  /** OIDs of purposes; default code signing. */
  readonly purposes?: readonly string[];
  readonly purposesCritical?: boolean;
  /** More extensions: OID, critical, content. */
  readonly extra?: readonly (readonly [string, boolean, Uint8Array])[];
  readonly keys?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
}

export const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';
const ECDSA_SHA256 = derEncode(DER.sequence, derOid('1.2.840.10045.4.3.2'));
const DAY = 86_400_000;

/** @param nowMs the middle of the default validity of two days */
export function makeCertificate(nowMs: number, options: CertificateOptions): TestCertificate {
  const keys = options.keys ?? generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = options.issuer ?? { name: options.name, secret: keys.privateKey };
  const tbs = derEncode(
    DER.sequence,
    derEncode(0xa0, derInteger(Buffer.from([2]))),
    derInteger(createHash('sha256').update(options.name).digest().subarray(0, 8)),
    ECDSA_SHA256,
    distinguishedName(issuer.name),
    derEncode(DER.sequence, time(options.from ?? nowMs - DAY), time(options.to ?? nowMs + DAY)),
    distinguishedName(options.name),
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    derEncode(0xa3, derEncode(DER.sequence, ...extensions(options))),
  );
  const signature = sign('sha256', tbs, issuer.secret);
  const der = Buffer.from(
    derEncode(DER.sequence, tbs, ECDSA_SHA256, derEncode(DER.bitString, Buffer.from([0]), signature)),
  );
  return {
    pem: formatPem('CERTIFICATE', der),
    der,
    name: options.name,
    secret: keys.privateKey,
    publicKey: keys.publicKey,
  };
}

function extensions(options: CertificateOptions): Uint8Array[] {
  const { emails = [], hosts = [], uris = [], purposes = options.authority ? [] : [CODE_SIGNING] } = options;
  const list: (readonly [string, boolean, Uint8Array])[] = [];
  if (options.authority) {
    const limit = options.pathLength === undefined ? [] : [derInteger(Buffer.from([options.pathLength]))];
    list.push([
      '2.5.29.19',
      true,
      derEncode(DER.sequence, derEncode(DER.boolean, Buffer.from([0xff])), ...limit),
    ]);
    list.push(['2.5.29.15', true, derEncode(DER.bitString, Buffer.from([1, 0x06]))]);
  }
  if (purposes.length > 0)
    list.push([
      '2.5.29.37',
      options.purposesCritical ?? false,
      derEncode(DER.sequence, ...purposes.map(derOid)),
    ]);
  if (emails.length + hosts.length + uris.length > 0)
    list.push([
      '2.5.29.17',
      true,
      derEncode(
        DER.sequence,
        ...emails.map((email) => derEncode(0x81, Buffer.from(email))),
        ...hosts.map((host) => derEncode(0x82, Buffer.from(host))),
        ...uris.map((uri) => derEncode(0x86, Buffer.from(uri))),
      ),
    ]);
  if (options.issuerV1) list.push(['1.3.6.1.4.1.57264.1.1', false, Buffer.from(options.issuerV1)]);
  if (options.issuerV2)
    list.push(['1.3.6.1.4.1.57264.1.8', false, derEncode(DER.utf8String, Buffer.from(options.issuerV2))]);
  list.push(...(options.extra ?? []));
  return list.map(([oid, critical, value]) =>
    derEncode(
      DER.sequence,
      derOid(oid),
      ...(critical ? [derEncode(DER.boolean, Buffer.from([0xff]))] : []),
      derEncode(DER.octetString, value),
    ),
  );
}

function distinguishedName(name: string): Uint8Array {
  const attribute = derEncode(DER.sequence, derOid('2.5.4.3'), derEncode(DER.utf8String, Buffer.from(name)));
  return derEncode(DER.sequence, derEncode(0x31, attribute));
}

function time(ms: number): Uint8Array {
  const text = new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return derEncode(0x18, Buffer.from(`${text}Z`));
}

/** A transparency log with one key, which signs whatever it is given. */
export class TestLog {
  readonly keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  get publicKey(): string {
    return this.keys.publicKey.export({ type: 'spki', format: 'pem' }) as string;
  }

  /** The value of the bundle annotation. `change` edits the payload before it is signed. */
  entry(
    logged: LoggedSignature,
    atMs: number,
    change: (payload: JsonObject) => JsonObject = (same) => same,
  ): string {
    const payload = change({
      body: Buffer.from(JSON.stringify(hashedRekord(logged))).toString('base64'),
      integratedTime: Math.floor(atMs / 1000),
      logIndex: 7,
      logID: 'ab'.repeat(32),
    });
    return JSON.stringify({ SignedEntryTimestamp: this.sign(canonicalJson(payload)), Payload: payload });
  }

  sign(text: string): string {
    return sign('sha256', Buffer.from(text), this.keys.privateKey).toString('base64');
  }
}
