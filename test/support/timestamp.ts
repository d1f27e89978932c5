// RFC 3161 responses made field by field, so that tests control what a time stamping authority says.
import { createHash, sign } from 'node:crypto';
import { DER, derEncode, derInteger, derOid, derOne, derRead } from '../../sign/der.ts';
import type { TestCertificate } from './x509.ts';

export const TIME_STAMPING = '1.3.6.1.5.5.7.3.8';
const SHA256 = '2.16.840.1.101.3.4.2.1';
const TST_INFO = '1.2.840.113549.1.9.16.1.4';

export interface ResponseOptions {
  readonly atMs: number;
  /** The octet of PKIStatus; default granted. */
  readonly status?: number;
  /** OID of the hash of the imprint and of the signed attributes. */
  readonly hash?: string;
  /** What the token holds; default a TSTInfo. */
  readonly contentType?: string;
  /** Put into the token. */
  readonly certificates?: readonly TestCertificate[];
  /** The certificate that the signer says it used; absent: its own, `none`: says nothing. */
  readonly names?: TestCertificate | 'none';
  /** Changes the TSTInfo after its hash was signed. */
  readonly tamper?: boolean;
  /** Another signer beside the first. */
  readonly twice?: boolean;
}

export const digest = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes).digest();
const sequence = (...parts: Uint8Array[]) => derEncode(DER.sequence, ...parts);
const set = (...parts: Uint8Array[]) => derEncode(DER.set, ...parts);
const octets = (bytes: Uint8Array) => derEncode(DER.octetString, bytes);
const attribute = (oid: string, value: Uint8Array) => sequence(derOid(oid), set(value));

/** A response of `signer` over `signed`. */
export function timestampResponse(
  signer: TestCertificate,
  signed: Uint8Array,
  options: ResponseOptions,
): Uint8Array {
  const { status = 0, hash = SHA256, contentType = TST_INFO, certificates = [] } = options;
  const info = timestampInfo(signed, options.atMs, hash);
  const content = options.tamper ? timestampInfo(signed, options.atMs + 1000, hash) : info;
  const info1 = signerInfo(signer, info, { ...options, hash, contentType });
  const data = sequence(
    derInteger(Buffer.from([3])),
    set(sequence(derOid(hash))),
    sequence(derOid(contentType), derEncode(0xa0, octets(content))),
    ...(certificates.length > 0 ? [derEncode(0xa0, ...certificates.map(({ der }) => der))] : []),
    set(info1, ...(options.twice ? [info1] : [])),
  );
  return sequence(
    sequence(derInteger(Buffer.from([status]))),
    sequence(derOid('1.2.840.113549.1.7.2'), derEncode(0xa0, data)),
  );
}

function timestampInfo(signed: Uint8Array, atMs: number, hash: string): Uint8Array {
  const text = new Date(atMs).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  const algorithm = hash === SHA256 ? 'sha256' : 'sha1';
  return sequence(
    derInteger(Buffer.from([1])),
    derOid('1.2.3.4'),
    sequence(sequence(derOid(hash)), octets(digest(algorithm, signed))),
    derInteger(Buffer.from([9])),
    derEncode(DER.generalizedTime, Buffer.from(`${text}Z`)),
  );
}

function issuerAndSerial({ der }: TestCertificate): Uint8Array {
  const [tbs] = derRead(derOne(der, DER.sequence).content);
  const [, serial, , issuer] = derRead(tbs?.content ?? Buffer.alloc(0));
  return sequence(issuer?.raw ?? Buffer.alloc(0), serial?.raw ?? Buffer.alloc(0));
}

function signerInfo(
  signer: TestCertificate,
  info: Uint8Array,
  options: ResponseOptions & { readonly hash: string; readonly contentType: string },
): Uint8Array {
  const named = options.names ?? signer;
  const algorithm = options.hash === SHA256 ? 'sha256' : 'sha1';
  const attributes = [
    attribute('1.2.840.113549.1.9.3', derOid(options.contentType)),
    attribute('1.2.840.113549.1.9.4', octets(digest(algorithm, info))),
    ...(named === 'none'
      ? []
      : [
          attribute(
            '1.2.840.113549.1.9.16.2.47',
            sequence(sequence(sequence(octets(digest('sha256', named.der))))),
          ),
        ]),
  ];
  return sequence(
    derInteger(Buffer.from([1])),
    issuerAndSerial(signer),
    sequence(derOid(options.hash)),
    derEncode(0xa0, ...attributes),
    sequence(derOid('1.2.840.10045.4.3.2')),
    octets(sign(algorithm, set(...attributes), signer.secret)),
  );
}
