import { SlipwayError } from '../../errors.ts';

export type UsageErrorCode = 'usage' | 'unknown-command' | 'unknown-flag' | 'bad-flag' | 'bad-template';

/** The command line itself is wrong. */
export class UsageError extends SlipwayError<UsageErrorCode> {}
