import { SlipwayError } from '../../errors.ts';

export type UsageErrorCode = 'usage' | 'unknown-command' | 'unknown-flag' | 'bad-flag' | 'bad-template';

/** The command line itself is wrong. */
export class UsageError extends SlipwayError<UsageErrorCode> {}

/** A failed system call in the words of the originals: `open /x: no such file or directory`. Words before it stay. */
export function systemErrorText({ message }: Error): string {
  const parts = /^(.*?)\bE[A-Z0-9]{2,}: ([^,]+), (\w+)(?: '([^']*)')?$/s.exec(message);
  if (!parts) return message;
  const [, before = '', reason, call, path] = parts;
  return `${before}${[call, path].filter(Boolean).join(' ')}: ${reason}`;
}
