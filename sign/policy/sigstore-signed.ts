import type { SigstoreSignedRequirement } from '../../config/policy-types.ts';
import type { RequirementEvaluator } from './requirement.ts';
export function sigstoreSigned(_r: SigstoreSignedRequirement, _now: () => number): RequirementEvaluator {
  return async () => {
    throw new Error('placeholder');
  };
}
