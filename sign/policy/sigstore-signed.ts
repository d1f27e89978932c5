import type { KeyObject } from 'node:crypto';
import type { KeySource, SigstoreSignedRequirement } from '../../config/policy-types.ts';
import { decodeBase64, type SignatureBlob } from '../../image/signature.ts';
import { invalid, SignError } from '../error.ts';
import { parsePayload } from '../payload.ts';
import { ANNOTATION, requiredAnnotation, SIGSTORE_SIGNATURE_TYPE } from '../sigstore/annotations.ts';
import { type Certificate, parseTrustedCertificates } from '../sigstore/certificate.ts';
import {
  type FulcioTrust,
  type PkiTrust,
  verifyFulcioCertificate,
  verifyPkiCertificate,
} from '../sigstore/certificate-identity.ts';
import { formatSigstoreKey, parseSigstoreKey, verifyBlob } from '../sigstore/public-key.ts';
import { verifyEntryTimestamp } from '../sigstore/rekor-entry.ts';
import { loadKeys } from './key-source.ts';
import { acceptOne, checkPayload, NO_SIGNATURE, type RequirementEvaluator } from './requirement.ts';

type SigstoreBlob = SignatureBlob & { readonly kind: 'sigstore' };

/** Everything a requirement trusts, read once. */
interface TrustRoot {
  readonly keys?: readonly KeyObject[];
  readonly fulcio?: FulcioTrust;
  readonly pki?: PkiTrust;
  readonly logKeys?: readonly KeyObject[];
}

/** Evaluates `sigstoreSigned`: containers/image signature/policy_eval_sigstore.go. */
export function sigstoreSigned(
  requirement: SigstoreSignedRequirement,
  now: () => number,
): RequirementEvaluator {
  let root: Promise<TrustRoot> | undefined;
  return async (image) => {
    const all = await image.signatures();
    const sigstore = all.filter((signature): signature is SigstoreBlob => signature.kind === 'sigstore');
    const attached = sigstore.filter(({ mediaType }) => mediaType === SIGSTORE_SIGNATURE_TYPE);
    const [others, attachments] = [all.length - sigstore.length, sigstore.length - attached.length];
    const noneText =
      others + attachments === 0
        ? NO_SIGNATURE
        : `${NO_SIGNATURE} (${others} non-sigstore signatures, ${attachments} sigstore non-signature attachments)`;
    await acceptOne(attached, noneText, async (signature) => {
      root ??= loadTrust(requirement);
      const keys = acceptedKeys(await root, signature, now());
      const bytes = decodeBase64(requiredAnnotation(signature.annotations, ANNOTATION.signature));
      if (!keys.some((key) => verifyBlob(key, signature.payload, bytes)))
        throw invalid(
          'cryptographic signature verification failed: invalid signature when validating encoded signature',
        );
      checkPayload(requirement, parsePayload('sigstore', signature.payload), image);
    });
  };
}

/** The keys that may have made this signature; certificates and log entries are checked on the way. */
function acceptedKeys(root: TrustRoot, signature: SigstoreBlob, nowMs: number): readonly KeyObject[] {
  const { annotations, payload } = signature;
  const bytes = decodeBase64(requiredAnnotation(annotations, ANNOTATION.signature));
  if (root.keys && !root.logKeys) return root.keys;
  if (root.pki) {
    const certificate = requiredAnnotation(annotations, ANNOTATION.certificate);
    return [verifyPkiCertificate(root.pki, certificate, annotations[ANNOTATION.chain], nowMs)];
  }
  const entry = requiredAnnotation(annotations, ANNOTATION.bundle);
  const logKeys = root.logKeys ?? [];
  if (root.fulcio) {
    const certificate = requiredAnnotation(annotations, ANNOTATION.certificate);
    const logged = { keyOrCertificate: certificate, signature: bytes, payload };
    const atMs = verifyEntryTimestamp(logKeys, entry, logged);
    return [verifyFulcioCertificate(root.fulcio, certificate, annotations[ANNOTATION.chain], atMs)];
  }
  return loggedKeys(root.keys ?? [], (key) =>
    verifyEntryTimestamp(logKeys, entry, {
      keyOrCertificate: formatSigstoreKey(key),
      signature: bytes,
      payload,
    }),
  );
}

/** Those keys that the log entry is about. */
function loggedKeys(keys: readonly KeyObject[], check: (key: KeyObject) => number): readonly KeyObject[] {
  const failures: string[] = [];
  for (const key of keys) {
    try {
      check(key);
      return [key];
    } catch (error) {
      if (!(error instanceof SignError)) throw error;
      failures.push(error.message);
    }
  }
  throw invalid(`No public key verified against the RekorSET: ${failures.join(', ')}`);
}

async function loadTrust(requirement: SigstoreSignedRequirement): Promise<TrustRoot> {
  const { keys, fulcio, pki, rekorPublicKeys } = requirement;
  return {
    ...(keys && { keys: await loadPublicKeys(keys, 'public key') }),
    ...(rekorPublicKeys && { logKeys: await loadLogKeys(rekorPublicKeys) }),
    ...(fulcio && { fulcio: { ...fulcio, roots: await loadCertificates(fulcio.ca, 'Fulcio CA') } }),
    ...(pki && {
      pki: {
        ...pki,
        roots: await loadCertificates(pki.caRoots, 'PKI CA Roots'),
        intermediates: pki.caIntermediates
          ? await loadCertificates(pki.caIntermediates, 'PKI intermediate')
          : [],
      },
    }),
  };
}

async function loadPublicKeys(source: KeySource, what: string): Promise<readonly KeyObject[]> {
  return (await loadKeys(source)).map((pem, index) => {
    try {
      return parseSigstoreKey(pem);
    } catch (cause) {
      if (!(cause instanceof SignError)) throw cause;
      throw new SignError('bad-key', `parsing ${what} ${index + 1}: ${cause.message}`, { cause });
    }
  });
}

async function loadLogKeys(source: KeySource): Promise<readonly KeyObject[]> {
  const keys = await loadPublicKeys(source, 'Rekor public key');
  keys.forEach((key, index) => {
    if (key.asymmetricKeyType !== 'ec')
      throw new SignError('bad-key', `Rekor public key ${index + 1} is not using ECDSA`);
  });
  return keys;
}

async function loadCertificates(source: KeySource, what: string): Promise<readonly Certificate[]> {
  const certificates = (await loadKeys(source)).flatMap((pem) => parseTrustedCertificates(pem));
  if (certificates.length === 0) throw new SignError('bad-key', `error loading ${what} certificates`);
  return certificates;
}
