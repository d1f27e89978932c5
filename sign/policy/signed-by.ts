import type { SignedByRequirement } from '../../config/policy-types.ts';
import { SignError } from '../error.ts';
import { parsePayload } from '../payload.ts';
import { readKeyring } from '../simple/keyring.ts';
import { verifyMessage } from '../simple/verify.ts';
import { acceptOne, checkPayload, NO_SIGNATURE } from './accept.ts';
import { loadKeys } from './key-source.ts';
import type { RequirementEvaluator } from './requirement.ts';

/** Evaluates `signedBy`: containers/image signature/policy_eval_signedby.go. */
export function signedBy(requirement: SignedByRequirement, now: () => number): RequirementEvaluator {
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
