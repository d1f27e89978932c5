import { type KeyObject, X509Certificate } from 'node:crypto';
import { DER, type DerElement, derOne, derRead, oidText } from '../der.ts';
import { invalid, printable, SignError } from '../error.ts';
import { type PemBlock, readPem, readPemAmongText } from './pem.ts';

/** An X.509 certificate with the fields that node:crypto does not give. Unverified. */
export interface Certificate {
  readonly x509: X509Certificate;
  /** By OID, content of the extension's octet string. */
  readonly extensions: ReadonlyMap<string, { readonly critical: boolean; readonly value: Uint8Array }>;
  /** OIDs; empty: any purpose. */
  readonly purposes: readonly string[];
  readonly emails: readonly string[];
  readonly isAuthority: boolean;
  /** How many authorities may stand below this one. */
  readonly pathLength?: number;
  readonly signatureAlgorithm: string;
}

const EXTENSION = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  policies: '2.5.29.32',
  extendedKeyUsage: '2.5.29.37',
} as const;
const HANDLED: readonly string[] = [
  EXTENSION.keyUsage,
  EXTENSION.subjectAltName,
  EXTENSION.basicConstraints,
  EXTENSION.policies,
  EXTENSION.extendedKeyUsage,
];
const PURPOSE = { codeSigning: '1.3.6.1.5.5.7.3.3', any: '2.5.29.37.0' } as const;
/** ECDSA and RSA with SHA-2, RSA-PSS, Ed25519: SHA-1 and MD5 signatures prove nothing. */
const SOUND_ALGORITHMS: readonly string[] = [
  ...['1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4'],
  ...['1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13', '1.2.840.113549.1.1.10'],
  '1.3.101.112',
];
const LIMIT_CHAIN = 8;

/** The certificates of an untrusted PEM text. @throws SignError `bad-key`, `invalid-signature` */
export function parseCertificates(pem: string): Certificate[] {
  return readPem(pem).map(parseBlock);
}

/** The certificates of a configured file. @throws SignError `bad-key`, `invalid-signature` */
export function parseTrustedCertificates(pem: Uint8Array): Certificate[] {
  return readPemAmongText(pem).map(parseBlock);
}

function parseBlock({ label, der }: PemBlock): Certificate {
  if (label !== 'CERTIFICATE') throw new SignError('bad-key', `PEM ${label} where a CERTIFICATE is expected`);
  return parseCertificate(der);
}

/** @throws SignError `invalid-signature` */
export function parseCertificate(der: Uint8Array): Certificate {
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(der);
  } catch (cause) {
    throw invalid('malformed certificate', cause);
  }
  const [tbs, algorithm] = derRead(derOne(der, DER.sequence).content);
  if (!tbs || !algorithm) throw invalid('malformed certificate');
  const extensions = readExtensions(tbs);
  const constraints = readBasicConstraints(extensions.get(EXTENSION.basicConstraints)?.value);
  const purposes = extensions.get(EXTENSION.extendedKeyUsage)?.value;
  return {
    x509,
    extensions,
    purposes: purposes
      ? derRead(derOne(purposes, DER.sequence).content).map(({ content }) => oidText(content))
      : [],
    emails: readEmails(extensions.get(EXTENSION.subjectAltName)?.value),
    ...constraints,
    signatureAlgorithm: oidText((derRead(algorithm.content)[0] as DerElement).content),
  };
}

/**
 * Checks that a certificate leads to one of `roots` for code signing at a time: signatures, validity of every member,
 * authority and key usage bits, path lengths, purposes, unknown critical extensions. Name constraints are not
 * evaluated: a chain that has some is refused.
 * @param atMs milliseconds since the epoch
 * @throws SignError `invalid-signature`
 */
export function verifyChain(
  leaf: Certificate,
  options: {
    readonly roots: readonly Certificate[];
    readonly intermediates: readonly Certificate[];
    readonly atMs: number;
  },
): void {
  let reason = 'certificate signed by unknown authority';
  const fits = (certificate: Certificate, depth: number) => {
    const why = whyNot(certificate, depth, options.atMs);
    if (why !== undefined) reason = why;
    return why === undefined;
  };
  const climb = (child: Certificate, depth: number): boolean => {
    if (options.roots.some((root) => sameCertificate(root, child))) return true;
    if (depth > LIMIT_CHAIN) return false;
    const above = (candidate: Certificate) => isIssuedBy(child, candidate) && fits(candidate, depth);
    return (
      options.roots.some(above) ||
      options.intermediates.some(
        (candidate) => !sameCertificate(candidate, child) && above(candidate) && climb(candidate, depth + 1),
      )
    );
  };
  if (!fits(leaf, -1) || !climb(leaf, 0)) throw invalid(`verifying leaf certificate failed: ${reason}`);
}

/** @param depth authorities below; -1 for the leaf */
function whyNot(certificate: Certificate, depth: number, atMs: number): string | undefined {
  const { x509, extensions, purposes } = certificate;
  const name = printable((x509.subject ?? x509.subjectAltName ?? '(none)').replaceAll('\n', ', '));
  if (atMs < x509.validFromDate.getTime()) return `certificate ${name} is not yet valid`;
  if (atMs > x509.validToDate.getTime()) return `certificate ${name} has expired`;
  if (!SOUND_ALGORITHMS.includes(certificate.signatureAlgorithm))
    return `certificate ${name} is signed with an insecure algorithm`;
  if (extensions.has(EXTENSION.nameConstraints)) return `certificate ${name} has name constraints`;
  for (const [oid, { critical }] of extensions)
    if (critical && !HANDLED.includes(oid))
      return `certificate ${name} has the unhandled critical extension ${oid}`;
  if (purposes.length > 0 && !purposes.includes(PURPOSE.codeSigning) && !purposes.includes(PURPOSE.any))
    return `certificate ${name} is not for code signing`;
  if (depth < 0) return undefined;
  if (!certificate.isAuthority || !maySignCertificates(extensions.get(EXTENSION.keyUsage)?.value))
    return `certificate ${name} is not an authority`;
  if (certificate.pathLength !== undefined && certificate.pathLength < depth)
    return `too many intermediates below certificate ${name}`;
  return undefined;
}

function isIssuedBy(child: Certificate, parent: Certificate): boolean {
  return child.x509.checkIssued(parent.x509) && child.x509.verify(publicKeyOf(parent));
}

/** @throws SignError `invalid-signature` for a key of a kind that is unknown here */
export function publicKeyOf({ x509 }: Certificate): KeyObject {
  try {
    return x509.publicKey;
  } catch (cause) {
    throw invalid('unsupported public key in certificate', cause);
  }
}

function sameCertificate(a: Certificate, b: Certificate): boolean {
  return a.x509.raw.equals(b.x509.raw);
}

const CERTIFICATE_SIGN_BIT = 0x04;

function maySignCertificates(keyUsage: Uint8Array | undefined): boolean {
  if (!keyUsage) return true;
  const bits = derOne(keyUsage, DER.bitString).content;
  return ((bits[1] ?? 0) & CERTIFICATE_SIGN_BIT) !== 0;
}

function readExtensions(tbs: DerElement): Certificate['extensions'] {
  const extensions = new Map<string, { critical: boolean; value: Uint8Array }>();
  const wrapper = derRead(tbs.content).find(({ tag }) => tag === 0xa3);
  if (!wrapper) return extensions;
  for (const extension of derRead(derOne(wrapper.content, DER.sequence).content)) {
    const parts = derRead(extension.content);
    const oid = oidText((parts[0] as DerElement).content);
    if (extensions.has(oid)) throw invalid(`certificate has the extension ${oid} twice`);
    const critical = parts.length === 3 && (parts[1]?.content[0] ?? 0) !== 0;
    const value = parts.at(-1);
    if (parts.length < 2 || value?.tag !== DER.octetString) throw invalid('malformed certificate extension');
    extensions.set(oid, { critical, value: value.content });
  }
  return extensions;
}

function readBasicConstraints(value: Uint8Array | undefined): { isAuthority: boolean; pathLength?: number } {
  if (!value) return { isAuthority: false };
  const [flag, limit] = derRead(derOne(value, DER.sequence).content);
  const isAuthority = flag?.tag === DER.boolean && flag.content[0] !== 0;
  return limit?.tag === DER.integer
    ? { isAuthority, pathLength: limit.content.reduce((sum, byte) => sum * 256 + byte, 0) }
    : { isAuthority };
}

/** rfc822Name entries of a subject alternative name. */
function readEmails(value: Uint8Array | undefined): string[] {
  if (!value) return [];
  return derRead(derOne(value, DER.sequence).content)
    .filter(({ tag }) => tag === 0x81)
    .map(({ content }) => Buffer.from(content).toString('latin1'));
}
