import { isSystemError, SlipwayError, systemReason } from '../../errors.ts';

export type UsageErrorCode = 'usage' | 'unknown-command' | 'unknown-flag' | 'bad-flag' | 'bad-template';

/** The command line itself is wrong. */
export class UsageError extends SlipwayError<UsageErrorCode> {}

/**
 * Does something with a file that a flag names; a failure has `words` in front and the name as it was given.
 * @throws UsageError
 */
export function onNamedFile<Result>(words: string, name: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new UsageError('usage', `${words}${error.syscall} ${name}: ${systemReason(error)}`, {
      cause: error,
    });
  }
}
