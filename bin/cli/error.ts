import { SlipwayError } from '../../errors.ts';

export type UsageErrorCode = 'usage' | 'unknown-command' | 'unknown-flag' | 'bad-flag' | 'bad-template';

/** The command line itself is wrong. */
export class UsageError extends SlipwayError<UsageErrorCode> {}

/** A failed system call in the words of the originals: `open /x: no such file or directory`. */
export function systemErrorText({ message }: Error): string {
  const [, reason, call, path] = /^[A-Z][A-Z0-9_]+: (.+?), (\w+)(?: '(.*)')?$/s.exec(message) ?? [];
  return reason === undefined ? message : `${[call, path].filter(Boolean).join(' ')}: ${reason}`;
}
