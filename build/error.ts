import { SlipwayError } from '../errors.ts';

export type BuildErrorCode =
  | 'syntax'
  | 'bad-instruction'
  | 'bad-option'
  | 'bad-argument'
  | 'missing-file'
  | 'unsafe-path'
  | 'bad-context'
  | 'bad-user'
  | 'bad-mount'
  | 'run-failed'
  | 'runtime'
  | 'isolation-unavailable'
  | 'no-such-stage'
  | 'no-such-container'
  | 'pull-failed'
  | 'policy-denied'
  | 'check-failed'
  | 'system'
  | 'unsupported';

/** Everything that goes wrong between a Containerfile and an image. */
export class BuildError extends SlipwayError<BuildErrorCode> {}
