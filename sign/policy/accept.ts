import type { SignedByRequirement } from '../../config/policy-types.ts';
import { ImageError } from '../../image/error.ts';
import { matchesManifestDigest } from '../../image/manifest.ts';
import type { SignatureBlob } from '../../image/signature.ts';
import { SignError } from '../error.ts';
import type { SignaturePayload } from '../payload.ts';
import { matchesIdentity } from './identity.ts';
import type { PolicySubject } from './subject.ts';

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
  if (!matchesManifestDigest(image.manifest.bytes, payload.digest))
    throw new SignError('rejected', `Signature for digest ${payload.digest} does not match`);
  if (!matchesIdentity(requirement.signedIdentity, image.reference.named, payload.reference))
    throw new SignError(
      'rejected',
      `Signature for identity ${JSON.stringify(payload.reference)} is not accepted`,
    );
}
