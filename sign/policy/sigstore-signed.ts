import type { KeyObject } from 'node:crypto';
import type { KeySource, SigstoreSignedRequirement } from '../../config/policy-types.ts';
import { SignError } from '../error.ts';
import { SIGSTORE_SIGNATURE_TYPE } from '../sigstore/annotations.ts';
import { type Certificate, parseTrustedCertificates } from '../sigstore/certificate.ts';
import { parseSigstoreKey } from '../sigstore/public-key.ts';
import type { LogKey } from '../sigstore/transparency-log.ts';
import { type SigstoreBlob, type SigstoreTrust, verifyAttachment } from '../sigstore/trust-root.ts';
import { acceptOne, checkPayload, NO_SIGNATURE } from './accept.ts';
import { loadKeys } from './key-source.ts';
import type { RequirementEvaluator } from './requirement.ts';

/** Evaluates `sigstoreSigned`: containers/image signature/policy_eval_sigstore.go. */
export function sigstoreSigned(
  requirement: SigstoreSignedRequirement,
  now: () => number,
): RequirementEvaluator {
  let trust: Promise<SigstoreTrust> | undefined;
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
      trust ??= loadSigstoreTrust(requirement);
      checkPayload(requirement, verifyAttachment(await trust, signature, now()), image);
    });
  };
}

/** Everything a requirement trusts. @throws SignError `bad-key` */
export async function loadSigstoreTrust(requirement: SigstoreSignedRequirement): Promise<SigstoreTrust> {
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

async function loadLogKeys(source: KeySource): Promise<readonly LogKey[]> {
  const keys = await loadPublicKeys(source, 'Rekor public key');
  keys.forEach((key, index) => {
    if (key.asymmetricKeyType !== 'ec')
      throw new SignError('bad-key', `Rekor public key ${index + 1} is not using ECDSA`);
  });
  return keys.map((key) => ({ key }));
}

async function loadCertificates(source: KeySource, what: string): Promise<readonly Certificate[]> {
  const certificates = (await loadKeys(source)).flatMap((pem) => parseTrustedCertificates(pem));
  if (certificates.length === 0) throw new SignError('bad-key', `error loading ${what} certificates`);
  return certificates;
}
