import type { Policy, PolicyRequirement } from '../../config/policy-types.ts';
import { SlipwayError } from '../../errors.ts';
import { SignError } from '../error.ts';
import { evaluatorOf, type RequirementEvaluator } from './requirement.ts';
import type { PolicySubject, PolicySubjectReference } from './subject.ts';

export interface PolicyEvaluationOptions {
  /** `--require-signed`: some requirement must check signatures, or the image is refused. */
  readonly requireSigned?: boolean;
  /** Milliseconds since the epoch, for key expiry and certificates; asked at each check. */
  readonly now: () => number;
}

/** Decides about images; transport's AdmissionPolicy. Key files are read once and kept, so a swap changes nothing. */
export interface ImagePolicy {
  /**
   * Returns when every requirement of the matching scope holds.
   * @throws SignError `rejected`, `invalid-signature`, `bad-key` and others: any error means the image must not be
   * used. The message is `Source image rejected: ` and containers/image's reason, which scripts look for.
   */
  admit(image: PolicySubject): Promise<void>;
  /** The requirements that apply to a reference, and the scope they were found under; undefined for `default`. */
  requirementsFor(reference: PolicySubjectReference): {
    readonly requirements: readonly PolicyRequirement[];
    readonly scope?: string;
  };
}

/** A policy in use, from policy.json's values. */
export function createPolicy(policy: Policy, options: PolicyEvaluationOptions): ImagePolicy {
  const evaluators = new Map<PolicyRequirement, RequirementEvaluator>();
  const evaluate = (requirement: PolicyRequirement): RequirementEvaluator => {
    const known = evaluators.get(requirement) ?? evaluatorOf(requirement, options.now);
    evaluators.set(requirement, known);
    return known;
  };
  return {
    requirementsFor: (reference) => selectRequirements(policy, reference),
    async admit(image) {
      try {
        await checkAll(selectRequirements(policy, image.reference).requirements, image);
      } catch (cause) {
        throw sourceRejected(cause);
      }
    },
  };

  async function checkAll(requirements: readonly PolicyRequirement[], image: PolicySubject): Promise<void> {
    if (requirements.length === 0)
      throw new SignError('rejected', 'List of verification policy requirements must not be empty');
    for (const requirement of requirements) await evaluate(requirement)(image);
    if (!options.requireSigned || requirements.some(verifiesSignatures)) return;
    const { transport, policyIdentity } = image.reference;
    throw new SignError(
      'rejected',
      `No signature verification policy found for image ${transport}:${policyIdentity}`,
      {
        hint: 'add a signedBy or sigstoreSigned requirement for it to policy.json',
      },
    );
  }
}

/** An abort and a bug pass as they are; they end the work just the same. */
function sourceRejected(cause: unknown): unknown {
  if (!(cause instanceof SlipwayError)) return cause;
  return new SignError(
    cause instanceof SignError ? cause.code : 'rejected',
    `Source image rejected: ${cause.message}`,
    { cause, retryable: cause.retryable, facts: cause.facts, ...(cause.hint && { hint: cause.hint }) },
  );
}

/** The exact scope, then each wider one, then the transport's own default, then the global default. */
export function selectRequirements(policy: Policy, reference: PolicySubjectReference) {
  const scopes = policy.transports.get(reference.transport);
  if (scopes)
    for (const scope of [reference.policyIdentity, ...reference.policyNamespaces, '']) {
      const requirements = scopes.get(scope);
      if (requirements) return { requirements, scope };
    }
  return { requirements: policy.default };
}

function verifiesSignatures(requirement: PolicyRequirement): boolean {
  return requirement.type === 'signedBy' || requirement.type === 'sigstoreSigned';
}
