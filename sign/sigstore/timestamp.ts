import { createHash, type KeyObject, timingSafeEqual } from 'node:crypto';
import { DER, type DerElement, derEncode, derOne, derRead, derTime, oidText } from '../der.ts';
import { invalid, SignError } from '../error.ts';
import { type Certificate, PURPOSE, parseCertificate, publicKeyOf, verifyChain } from './certificate.ts';
import { verifyDigest } from './public-key.ts';
import { isWithin, type Validity } from './validity.ts';

/** A time stamping authority that is trusted. */
export interface TimeAuthority extends Validity {
  readonly roots: readonly Certificate[];
  /** The authority's own certificate, where its tokens do not carry it, and what stands above it. */
  readonly others: readonly Certificate[];
}

const OID = {
  signedData: '1.2.840.113549.1.7.2',
  tstInfo: '1.2.840.113549.1.9.16.1.4',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  signingCertificate: '1.2.840.113549.1.9.16.2.12',
  signingCertificateV2: '1.2.840.113549.1.9.16.2.47',
} as const;
/** SHA-1 and MD5 prove nothing. */
const HASHES: ReadonlyMap<string, string> = new Map([
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);
const EXTENDED_KEY_USAGE = '2.5.29.37';
const LIMIT_CERTIFICATES = 16;

/**
 * The time at which an authority saw `signed`, from an RFC 3161 response without its network part: the token's
 * signature, the signer's certificate and its purpose, and the hash of what was stamped are checked.
 * @returns milliseconds since the epoch
 * @throws SignError `invalid-signature`
 */
export function verifyTimestamp(
  response: Uint8Array,
  signed: Uint8Array,
  authorities: readonly TimeAuthority[],
): number {
  const token = readToken(response);
  const info = readInfo(token.content);
  if (!sameBytes(info.imprint, digest(info.hash, signed)))
    throw invalid('the timestamp is about something else');
  const failures = authorities.map((authority) => whyNot(token, info.atMs, authority));
  if (failures.includes(undefined)) return info.atMs;
  throw invalid(`no trusted authority made the timestamp: ${[...new Set(failures)].join('; ')}`);
}

interface Token {
  /** The TSTInfo. */
  readonly content: Uint8Array;
  readonly certificates: readonly Certificate[];
  /** The signed attributes as they were signed. */
  readonly attributes: Uint8Array;
  readonly values: ReadonlyMap<string, DerElement>;
  readonly hash: string;
  readonly signature: Uint8Array;
}

/** TimeStampResp, RFC 3161 section 2.4.2, and the SignedData in it, RFC 5652 section 5. */
function readToken(response: Uint8Array): Token {
  const [status, token, ...more] = derRead(derOne(response, DER.sequence).content);
  const code = status && derRead(status.content)[0];
  if (code?.tag !== DER.integer || code.content.length !== 1 || (code.content[0] as number) > 1)
    throw invalid('the time stamping authority refused');
  if (!token || more.length > 0) throw invalid('malformed timestamp response');
  const data = derOne(explicit(token, OID.signedData), DER.sequence);
  const parts = derRead(data.content);
  const [encapsulated, signers] = [parts[2], parts.at(-1)];
  if (!encapsulated || signers?.tag !== DER.set) throw invalid('malformed timestamp token');
  const [signer, ...others] = derRead(signers.content);
  if (!signer || others.length > 0) throw invalid('a timestamp token must have exactly one signer');
  const certificates = parts.slice(3, -1).find(({ tag }) => tag === 0xa0);
  return {
    content: derOne(explicit(encapsulated, OID.tstInfo), DER.octetString).content,
    certificates: certificates ? readCertificates(certificates.content) : [],
    ...readSigner(signer),
  };
}

/** The content of a ContentInfo of one type. */
function explicit({ tag, content }: DerElement, type: string): Uint8Array {
  const [oid, wrapper, ...more] = derRead(content);
  if (tag !== DER.sequence || oid?.tag !== DER.oid || oidText(oid.content) !== type)
    throw invalid('a timestamp token holds something else');
  if (wrapper?.tag !== 0xa0 || more.length > 0) throw invalid('malformed timestamp token');
  return wrapper.content;
}

function readCertificates(content: Uint8Array): Certificate[] {
  const elements = derRead(content);
  if (elements.length > LIMIT_CERTIFICATES) throw invalid('too many certificates in a timestamp token');
  return elements.map(({ raw }) => parseCertificate(raw));
}

/** A SignerInfo with signed attributes. */
function readSigner({
  tag,
  content,
}: DerElement): Pick<Token, 'attributes' | 'values' | 'hash' | 'signature'> {
  const [, , algorithm, attributes, , signature] = derRead(content);
  if (tag !== DER.sequence || !algorithm || attributes?.tag !== 0xa0 || signature?.tag !== DER.octetString)
    throw invalid('malformed signer of a timestamp token');
  const values = new Map<string, DerElement>();
  for (const attribute of derRead(attributes.content)) {
    const [oid, set] = derRead(attribute.content);
    const [value, ...more] = set?.tag === DER.set ? derRead(set.content) : [];
    const name = oid?.tag === DER.oid ? oidText(oid.content) : '';
    if (!value || more.length > 0 || values.has(name))
      throw invalid('malformed attribute of a timestamp token');
    values.set(name, value);
  }
  // They are signed as the SET that the implicit tag stands for.
  const asSet = derEncode(DER.set, attributes.content);
  return { attributes: asSet, values, hash: hashOf(algorithm), signature: signature.content };
}

function hashOf({ content }: DerElement): string {
  const [oid] = derRead(content);
  const hash = oid?.tag === DER.oid ? HASHES.get(oidText(oid.content)) : undefined;
  if (hash === undefined) throw invalid('a timestamp token uses a hash that is weak or unknown');
  return hash;
}

/** TSTInfo, RFC 3161 section 2.4.2. */
function readInfo(content: Uint8Array): { hash: string; imprint: Uint8Array; atMs: number } {
  const [version, , imprint, , time] = derRead(derOne(content, DER.sequence).content);
  const [algorithm, hashed] = imprint ? derRead(imprint.content) : [];
  if (version?.content[0] !== 1 || !algorithm || hashed?.tag !== DER.octetString || !time)
    throw invalid('malformed timestamp');
  return { hash: hashOf(algorithm), imprint: hashed.content, atMs: derTime(time) };
}

/** Why an authority did not make the token; undefined when it did. */
function whyNot(token: Token, atMs: number, authority: TimeAuthority): string | undefined {
  try {
    const signer = signerAmong([...token.certificates, ...authority.others], token.values);
    checkSigned(token, signer);
    checkPurpose(signer);
    verifyChain(signer, {
      roots: authority.roots,
      intermediates: [...authority.others, ...token.certificates],
      atMs,
      purpose: PURPOSE.timeStamping,
    });
  } catch (error) {
    if (!(error instanceof SignError)) throw error;
    return error.message;
  }
  return isWithin(authority, atMs) ? undefined : 'the authority was not trusted at that time';
}

/** The certificate that the signed attributes name by its hash (ESS, RFC 5816). */
function signerAmong(candidates: readonly Certificate[], values: Token['values']): Certificate {
  const current = values.get(OID.signingCertificateV2);
  const named = current ?? values.get(OID.signingCertificate);
  if (!named) throw invalid('a timestamp token does not name its signing certificate');
  const [list] = derRead(derOne(named.raw, DER.sequence).content);
  const [first] = list ? derRead(list.content) : [];
  const parts = first ? derRead(first.content) : [];
  const algorithm =
    current && parts[0]?.tag === DER.sequence ? hashOf(parts[0]) : current ? 'sha256' : 'sha1';
  const hash = parts.find(({ tag }) => tag === DER.octetString)?.content;
  const signer = hash && candidates.find(({ x509 }) => sameBytes(digest(algorithm, x509.raw), hash));
  if (!signer) throw invalid('the certificate of the time stamping authority is not known');
  return signer;
}

function checkSigned(token: Token, signer: Certificate): void {
  const type = token.values.get(OID.contentType);
  const hash = token.values.get(OID.messageDigest);
  if (type?.tag !== DER.oid || oidText(type.content) !== OID.tstInfo || hash?.tag !== DER.octetString)
    throw invalid('a timestamp token lacks a signed attribute');
  if (!sameBytes(hash.content, digest(token.hash, token.content)))
    throw invalid('the timestamp is not the signed one');
  const key: KeyObject = publicKeyOf(signer);
  if (!verifyDigest(key, token.hash, token.attributes, token.signature))
    throw invalid('cryptographic signature verification of the timestamp failed');
}

/** RFC 3161 section 2.3: for time stamping alone, and critically so. */
function checkPurpose({ purposes, extensions }: Certificate): void {
  const isOnly = purposes.length === 1 && purposes[0] === PURPOSE.timeStamping;
  if (!isOnly || !extensions.get(EXTENDED_KEY_USAGE)?.critical)
    throw invalid('the signing certificate is not for timestamping alone');
}

function digest(algorithm: string, bytes: Uint8Array): Buffer {
  return createHash(algorithm).update(bytes).digest();
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
