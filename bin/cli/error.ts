import { isSystemError, SlipwayError } from '../../errors.ts';

export type UsageErrorCode = 'usage' | 'unknown-command' | 'unknown-flag' | 'bad-flag' | 'bad-template';

/** The command line itself is wrong. */
export class UsageError extends SlipwayError<UsageErrorCode> {}

/** What Go says where libuv has other words. */
const GO_REASONS: Readonly<Record<string, string>> = {
  'illegal operation on a directory': 'is a directory',
  'file already exists': 'file exists',
  'resource busy or locked': 'device or resource busy',
  'cross-device link not permitted': 'invalid cross-device link',
  'too many symbolic links encountered': 'too many levels of symbolic links',
  'name too long': 'file name too long',
  'i/o error': 'input/output error',
  'text file is busy': 'text file busy',
};

/** A failed system call in the words of the originals: `open /x: no such file or directory`. Words before it stay. */
export function systemErrorText({ message }: Error): string {
  const parts = /^(.*?)\bE[A-Z0-9]{2,}: ([^,]+), (\w+)(?: '([^']*)')?$/s.exec(message);
  if (!parts) return message;
  const [, before = '', reason = '', call, path] = parts;
  return `${before}${[call, path].filter(Boolean).join(' ')}: ${GO_REASONS[reason] ?? reason}`;
}

/**
 * Does something with a file that a flag names; a failure has `words` in front and the name as it was given.
 * @throws UsageError
 */
export function onNamedFile<Result>(words: string, name: string, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const text = systemErrorText(error);
    const reason = text.slice(text.lastIndexOf(': '));
    throw new UsageError('usage', `${words}${error.syscall} ${name}${reason}`, { cause: error });
  }
}
