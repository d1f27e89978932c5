import { BuildError } from '../../../build/error.ts';
import type { FlagSpec, Flags } from '../../cli/contract.ts';

export const CONFIDENTIAL_FLAG: FlagSpec = {
  name: 'cw',
  kind: 'string',
  usage: 'make a confidential workload (not supported)',
};

/** An image that its user takes for encrypted must not be made as a plain one. @throws BuildError `unsupported` */
export function refuseConfidential(flags: Flags): void {
  if (!flags.changed('cw')) return;
  throw new BuildError('unsupported', 'confidential workload images (--cw) are not supported here', {
    hint: 'leave out --cw',
  });
}
