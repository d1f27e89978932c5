import type { PolicyRequirement } from '../../config/policy-types.ts';
import { SignError } from '../error.ts';
import { type PolicySubject, subjectName } from './subject.ts';

/** Returns when an image fulfils one requirement. @throws SignError */
export type RequirementEvaluator = (image: PolicySubject) => Promise<void>;

/**
 * What checks signatures is loaded when an image asks for it: most policies check none.
 * @param now milliseconds since the epoch
 */
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
      return lazily(async () => (await import('./signed-by.ts')).signedBy(requirement, now));
    case 'sigstoreSigned':
      return lazily(async () => (await import('./sigstore-signed.ts')).sigstoreSigned(requirement, now));
  }
}

function lazily(load: () => Promise<RequirementEvaluator>): RequirementEvaluator {
  let loaded: Promise<RequirementEvaluator> | undefined;
  return async (image) => {
    loaded ??= load();
    await (await loaded)(image);
  };
}
