import { type KeyObject, X509Certificate } from 'node:crypto';
import { DER, type DerElement, derOne, derRead, oidText } from '../der.ts';
import { invalid, printable, SignError } from '../error.ts';
import {
  type AltName,
  constraintViolation,
  type NameConstraints,
  readAltNames,
  readNameConstraints,
} from './name-constraints.ts';
import { type PemBlock, readPem, readPemAmongText } from './pem.ts';

/** An X.509 certificate with the fields that node:crypto does not give. Unverified. */
export interface Certificate {
  readonly x509: X509Certificate;
  /** By OID, content of the extension's octet string. */
  readonly extensions: ReadonlyMap<string, { readonly critical: boolean; readonly value: Uint8Array }>;
  /** OIDs; empty: any purpose. */
  readonly purposes: readonly string[];
  /** Of the subject alternative name. */
  readonly names: readonly AltName[];
  readonly nameConstraints?: NameConstraints;
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
export const PURPOSE = {
  codeSigning: '1.3.6.1.5.5.7.3.3',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  any: '2.5.29.37.0',
} as const;
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
  const limits = extensions.get(EXTENSION.nameConstraints);
  return {
    x509,
    extensions,
    purposes: purposes
      ? derRead(derOne(purposes, DER.sequence).content).map(({ content }) => oidText(content))
      : [],
    names: readAltNames(extensions.get(EXTENSION.subjectAltName)?.value),
    ...(limits && { nameConstraints: readNameConstraints(limits.value) }),
    ...constraints,
    signatureAlgorithm: oidText((derRead(algorithm.content)[0] as DerElement).content),
  };
}

/**
 * Checks that a certificate leads to one of `roots` for a purpose at a time: signatures, validity of every member,
 * authority and key usage bits, path lengths, name constraints, purposes, unknown critical extensions.
 * @param atMs milliseconds since the epoch
 * @throws SignError `invalid-signature`
 */
export function verifyChain(
  leaf: Certificate,
  options: {
    readonly roots: readonly Certificate[];
    readonly intermediates: readonly Certificate[];
    readonly atMs: number;
    /** OID; default code signing. */
    readonly purpose?: string;
  },
): void {
  const { purpose = PURPOSE.codeSigning } = options;
  let reason = 'certificate signed by unknown authority';
  const fits = (certificate: Certificate, below: readonly Certificate[]) => {
    const why = whyNot(certificate, below, { atMs: options.atMs, purpose });
    if (why !== undefined) reason = why;
    return why === undefined;
  };
  const climb = (chain: readonly Certificate[]): boolean => {
    const child = chain.at(-1) as Certificate;
    if (options.roots.some((root) => sameCertificate(root, child))) return true;
    if (chain.length > LIMIT_CHAIN) return false;
    const above = (candidate: Certificate) => isIssuedBy(child, candidate) && fits(candidate, chain);
    return (
      options.roots.some(above) ||
      options.intermediates.some(
        (candidate) => !sameCertificate(candidate, child) && above(candidate) && climb([...chain, candidate]),
      )
    );
  };
  if (!fits(leaf, []) || !climb([leaf])) throw invalid(`verifying leaf certificate failed: ${reason}`);
}

/** @param below from the leaf up; empty for the leaf itself */
function whyNot(
  certificate: Certificate,
  below: readonly Certificate[],
  { atMs, purpose }: { readonly atMs: number; readonly purpose: string },
): string | undefined {
  const { x509, extensions, purposes, nameConstraints } = certificate;
  const name = printable((x509.subject ?? x509.subjectAltName ?? '(none)').replaceAll('\n', ', '));
  if (atMs < x509.validFromDate.getTime()) return `certificate ${name} is not yet valid`;
  if (atMs > x509.validToDate.getTime()) return `certificate ${name} has expired`;
  if (!SOUND_ALGORITHMS.includes(certificate.signatureAlgorithm))
    return `certificate ${name} is signed with an insecure algorithm`;
  for (const [oid, { critical }] of extensions)
    if (critical && !isHandled(certificate, oid))
      return `certificate ${name} has the unhandled critical extension ${oid}`;
  if (purposes.length > 0 && !purposes.includes(purpose) && !purposes.includes(PURPOSE.any))
    return `certificate ${name} is not for ${purpose === PURPOSE.codeSigning ? 'code signing' : 'timestamping'}`;
  if (below.length === 0) return undefined;
  if (!certificate.isAuthority || !maySignCertificates(extensions.get(EXTENSION.keyUsage)?.value))
    return `certificate ${name} is not an authority`;
  if (certificate.pathLength !== undefined && certificate.pathLength < below.length - 1)
    return `too many intermediates below certificate ${name}`;
  const names = below.flatMap((one) => one.names);
  const violation = nameConstraints && constraintViolation(nameConstraints, names);
  return violation && `certificate ${name} has name constraints: ${violation}`;
}

function isHandled({ nameConstraints }: Certificate, oid: string): boolean {
  if (oid === EXTENSION.nameConstraints) return nameConstraints?.complete ?? false;
  return HANDLED.includes(oid);
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
