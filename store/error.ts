import { SlipwayError } from '../errors.ts';

export type StoreErrorCode =
  | 'no-such-layer'
  | 'no-such-image'
  | 'no-such-container'
  | 'ambiguous-id'
  | 'name-in-use'
  | 'in-use'
  | 'corrupt-store'
  | 'locked'
  | 'bad-config'
  | 'unsupported-driver'
  | 'bad-layer'
  | 'unsafe-path'
  | 'too-large'
  | 'digest-mismatch'
  | 'truncated'
  | 'bad-compression'
  | 'not-found'
  | 'system'
  | 'unsupported';

/** Everything that goes wrong with bytes and local state. */
export class StoreError extends SlipwayError<StoreErrorCode> {}
