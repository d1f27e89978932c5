import type { CommandSpec } from '../../cli/contract.ts';
import { sync as skopeoSync } from '../skopeo/sync.ts';
import { adopt } from './adopt.ts';

/** `slipway sync`: Skopeo's, with whole indexes and referrers unless told otherwise. */
export const sync: CommandSpec = adopt(skopeoSync, {
  defaults: { all: true, referrers: true },
  takesImages: false,
  change: { summary: 'Mirror repositories, with all platforms and what refers to the images' },
});
