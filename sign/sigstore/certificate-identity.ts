import type { KeyObject } from 'node:crypto';
import { DER, derOne } from '../der.ts';
import { invalid, printable } from '../error.ts';
import { type Certificate, parseCertificates, publicKeyOf, verifyChain } from './certificate.ts';
import type { AltName } from './name-constraints.ts';
import { checkStrength } from './public-key.ts';
import { isWithin, type Validity } from './validity.ts';

/** What a Fulcio certificate must say. */
export interface FulcioTrust {
  readonly roots: readonly Certificate[];
  readonly intermediates?: readonly Certificate[];
  /** When the authority was in use; default: always. */
  readonly validity?: Validity;
  readonly oidcIssuer: string;
  /** An address, or, where `subject` says so, any email address or URI that the certificate was made for. */
  readonly subjectEmail: string;
  readonly subject?: 'email' | 'email-or-uri';
}

/** A certificate authority of one's own; at least one subject is required. */
export interface PkiTrust {
  readonly roots: readonly Certificate[];
  readonly intermediates: readonly Certificate[];
  readonly subjectEmail?: string;
  readonly subjectHostname?: string;
}

const OIDC_ISSUER = { v1: '1.3.6.1.4.1.57264.1.1', v2: '1.3.6.1.4.1.57264.1.8' } as const;

/**
 * The key of a Fulcio certificate that was valid at a time and names the wanted issuer and email. Certificate
 * transparency timestamps are not looked at, as in containers/image: the Rekor entry holds the whole certificate.
 * @param chain PEM of what stands above the leaf; its last member is taken for the root and ignored
 * @param atMs when the log saw the signature, milliseconds since the epoch
 * @throws SignError `invalid-signature`
 */
export function verifyFulcioCertificate(
  trust: FulcioTrust,
  certificate: string,
  chain: string | undefined,
  atMs: number,
): KeyObject {
  const leaf = parseLeaf(certificate);
  const intermediates = [...(trust.intermediates ?? []), ...chainIntermediates(chain)];
  verifyChain(leaf, { roots: trust.roots, intermediates, atMs });
  if (!isWithin(trust.validity ?? {}, atMs))
    throw invalid('the certificate authority was not trusted at that time');
  const issuer = oidcIssuerOf(leaf);
  if (issuer !== trust.oidcIssuer) throw invalid(`Unexpected Fulcio OIDC issuer ${printable(issuer)}`);
  checkSubject(leaf, trust.subjectEmail, trust.subject === 'email-or-uri' ? ['email', 'uri'] : ['email']);
  return checkStrength(publicKeyOf(leaf));
}

/**
 * The key of a certificate from a private authority, valid now.
 * @throws SignError `invalid-signature`
 */
export function verifyPkiCertificate(
  trust: PkiTrust,
  certificate: string,
  chain: string | undefined,
  nowMs: number,
): KeyObject {
  const leaf = parseLeaf(certificate);
  const intermediates = [...trust.intermediates, ...chainIntermediates(chain)];
  verifyChain(leaf, { roots: trust.roots, intermediates, atMs: nowMs });
  if (trust.subjectEmail !== undefined) checkSubject(leaf, trust.subjectEmail, ['email']);
  if (trust.subjectHostname !== undefined) {
    const options = { subject: 'never', partialWildcards: false } as const;
    if (leaf.x509.checkHost(trust.subjectHostname, options) === undefined)
      throw invalid(
        `Unexpected subject hostname: certificate is not valid for ${printable(trust.subjectHostname)}`,
      );
  }
  return checkStrength(publicKeyOf(leaf));
}

/** The issuer that Fulcio recorded; both forms must agree. @throws SignError `invalid-signature` */
export function oidcIssuerOf(certificate: Certificate): string {
  const old = certificate.extensions.get(OIDC_ISSUER.v1)?.value;
  const current = certificate.extensions.get(OIDC_ISSUER.v2)?.value;
  const oldText = old && Buffer.from(old).toString();
  const currentText = current && Buffer.from(derOne(current, DER.utf8String).content).toString();
  if (oldText !== undefined && currentText !== undefined && oldText !== currentText)
    throw invalid('inconsistent OIDC issuer extension values in Fulcio certificate');
  const issuer = currentText ?? oldText;
  if (issuer === undefined) throw invalid('Fulcio certificate is missing the issuer extension');
  return issuer;
}

function parseLeaf(pem: string): Certificate {
  const [leaf, ...more] = parseCertificates(pem);
  if (!leaf) throw invalid('no certificate found in signature certificate data');
  if (more.length > 0)
    throw invalid('unexpected multiple certificates present in signature certificate data');
  return leaf;
}

function chainIntermediates(chain: string | undefined): readonly Certificate[] {
  return chain ? parseCertificates(chain).slice(0, -1) : [];
}

function checkSubject(certificate: Certificate, wanted: string, kinds: readonly AltName['kind'][]): void {
  const names = certificate.names.filter(({ kind }) => kinds.includes(kind)).map(({ text }) => text);
  if (names.includes(wanted)) return;
  const what = kinds.includes('uri') ? 'subject' : 'email';
  throw invalid(`Required ${what} ${printable(wanted)} not found (got ${printable(names.join(', '))})`);
}
