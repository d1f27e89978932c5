import type { CommandSpec } from '../../../cli/contract.ts';
import { copy as slipwayCopy } from '../copy.ts';

/** `slipway artifact copy`: `slipway copy` that changes no digest. */
export const copy: CommandSpec = {
  ...slipwayCopy,
  summary: 'Copy an artifact as it is, with what refers to it',
  description:
    'As slipway copy, but nothing is converted or compressed, so that digests stay. --referrers=false leaves behind what refers to the artifact.',
  examples: ['slipway artifact copy registry.example.com/app:report oci:layout:report'],
  flags: (slipwayCopy.flags ?? []).map((flag) =>
    flag.name === 'preserve-digests' ? { ...flag, default: true } : flag,
  ),
};
