import { ConfigError } from '../../config/error.ts';
import type { Policy } from '../../config/policy-types.ts';
import type { AdmissionPolicy } from '../../transport/contract.ts';
import { TransportError } from '../../transport/error.ts';
import type { CommandContext, FlagSpec, Flags } from './contract.ts';

/** What a tool's flags say about policy.json; the names differ between the tools. */
export interface PolicyFlags {
  /** `--policy`, `--signature-policy`; empty or absent: the default places. */
  readonly path?: string;
  /** `--insecure-policy`. */
  readonly insecure?: boolean;
  /** `--require-signed`. */
  readonly requireSigned?: boolean;
}

/** slipway's own flags. */
export const POLICY_FLAGS: readonly FlagSpec[] = [
  { name: 'policy', kind: 'string', usage: 'decide by the policy file at `PATH`' },
  { name: 'insecure-policy', kind: 'bool', usage: 'accept every image' },
  { name: 'require-signed', kind: 'bool', usage: 'refuse images that no signature was checked of' },
];

/** What a command that declares {@link POLICY_FLAGS} was told. */
export function policyFlags(flags: Flags): PolicyFlags {
  return {
    path: flags.string('policy'),
    insecure: flags.bool('insecure-policy'),
    requireSigned: flags.bool('require-signed'),
  };
}

/**
 * The policy a command's images must pass.
 * @throws ConfigError for an unusable policy file; TransportError `bad-option` for contradicting flags
 */
export async function imagePolicy(context: CommandContext, flags: PolicyFlags): Promise<AdmissionPolicy> {
  if (flags.insecure && flags.requireSigned)
    throw new TransportError('bad-option', '--insecure-policy and --require-signed are mutually exclusive');
  const { createPolicy } = await import('../../sign/policy/policy.ts');
  return createPolicy(await loadPolicy(context, flags), {
    requireSigned: flags.requireSigned ?? false,
    now: Date.now,
  });
}

async function loadPolicy(context: CommandContext, flags: PolicyFlags): Promise<Policy> {
  const { INSECURE_POLICY, readPolicy } = await import('../../config/policy.ts');
  if (flags.insecure) return INSECURE_POLICY;
  const home = context.io.environment.HOME;
  try {
    return await readPolicy({
      ...(flags.path && { path: flags.path }),
      ...(home && { home }),
      onWarning: (text) => context.note(`warning: ${text}`),
    });
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new ConfigError(cause.code, `Error loading trust policy: ${cause.message}`, {
      cause,
      facts: cause.facts,
      ...(cause.hint && { hint: cause.hint }),
    });
  }
}
