import type { PolicyRequirement, SignedByRequirement } from '../../config/policy-types.ts';
import { algorithmOf, type Digest } from '../../image/digest.ts';
import { ImageError } from '../../image/error.ts';
import { matchesManifestDigest } from '../../image/manifest.ts';
import type { SignatureBlob } from '../../image/signature.ts';
import { SignError } from '../error.ts';
import { parsePayload, type SignaturePayload } from '../payload.ts';
import { readKeyring } from '../simple/keyring.ts';
import { verifyMessage } from '../simple/verify.ts';
import { matchesIdentity } from './identity.ts';
import { loadKeys } from './key-source.ts';
import { type PolicySubject, subjectName } from './subject.ts';

/** Returns when an image fulfils one requirement. @throws SignError */
export type RequirementEvaluator = (image: PolicySubject) => Promise<void>;

/** @param now milliseconds since the epoch */
export function evaluatorOf(requirement: PolicyRequirement, now: () => number): RequirementEvaluator {
  switch (requirement.type) {
    case 'insecureAcceptAnything':
      return async () => {};
    case 'reject':
      return async (image) => {
        throw new SignError(
          'rejected',
          `Running image ${subjectName(image.reference)} is rejected by policy.`,
        );
      };
    case 'signedBaseLayer':
      return async () => {
        throw new SignError('unsupported', 'signedBaseLayer is not implemented; the image is refused');
      };
    case 'signedBy':
      return signedBy(requirement, now);
    case 'sigstoreSigned': {
      let loaded: Promise<RequirementEvaluator> | undefined;
      return async (image) => {
        loaded ??= import('./sigstore-signed.ts').then((module) => module.sigstoreSigned(requirement, now));
        await (await loaded)(image);
      };
    }
  }
}

function signedBy(requirement: SignedByRequirement, now: () => number): RequirementEvaluator {
  let ring: Promise<ReturnType<typeof readKeyring>> | undefined;
  return async (image) => {
    const signatures = (await image.signatures()).filter((signature) => signature.kind === 'simple');
    await acceptOne(signatures, NO_SIGNATURE, async (signature) => {
      if (requirement.keyType !== 'GPGKeys')
        throw new SignError('unsupported', `Unimplemented "keyType" value "${requirement.keyType}"`);
      ring ??= loadKeys(requirement.keys).then(readKeyring);
      const keys = await ring;
      if (keys.fingerprints.length === 0) throw new SignError('rejected', 'No public keys imported');
      const { content } = verifyMessage(signature.bytes, keys, now());
      checkPayload(requirement, parsePayload('simple', content), image);
    });
  };
}

export const NO_SIGNATURE = 'A signature was required, but no signature exists';

/**
 * One accepted signature is enough, and nothing behind it is looked at (SECURITY S10).
 * @throws SignError the reason when there was one signature, all reasons when there were several
 */
export async function acceptOne<S extends SignatureBlob>(
  signatures: readonly S[],
  noneText: string,
  check: (signature: S) => Promise<void>,
): Promise<void> {
  const reasons: SignError[] = [];
  for (const signature of signatures) {
    try {
      return await check(signature);
    } catch (error) {
      if (!(error instanceof SignError) && !(error instanceof ImageError)) throw error;
      reasons.push(
        error instanceof SignError
          ? error
          : new SignError('invalid-signature', error.message, { cause: error }),
      );
    }
  }
  const [first, second] = reasons;
  if (!first) throw new SignError('rejected', noneText);
  if (!second) throw first;
  throw new SignError(
    'rejected',
    `None of the signatures were accepted, reasons: ${reasons.map((reason) => reason.message).join('; ')}`,
    { cause: new AggregateError(reasons) },
  );
}

/** The verified payload must speak of this manifest and of a name that the requirement accepts. */
export function checkPayload(
  requirement: Pick<SignedByRequirement, 'signedIdentity'>,
  payload: SignaturePayload,
  image: PolicySubject,
): void {
  if (!matches(image.manifest.bytes, payload.digest))
    throw new SignError('rejected', `Signature for digest ${payload.digest} does not match`);
  if (!matchesIdentity(requirement.signedIdentity, image.reference.named, payload.reference))
    throw new SignError(
      'rejected',
      `Signature for identity ${JSON.stringify(payload.reference)} is not accepted`,
    );
}

function matches(manifest: Uint8Array, digest: Digest): boolean {
  algorithmOf(digest);
  return matchesManifestDigest(manifest, digest);
}
