/** What every error of this project may say beyond its message. */
export interface ErrorDetails {
  /** What the user can do next, one sentence without a trailing newline. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** The exit code a command ends with; absent means the tool's default (125 for buildah, 1 for skopeo and slipway). */
  readonly exitCode?: number;
  /** True where the same call may succeed later (a dropped connection, a 503). */
  readonly retryable?: boolean;
  /** Machine-readable facts, such as `path`, `reference`, `digest`, `status`, `line`. No secrets. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/**
 * The base of every error that this project throws on purpose. Each domain subclasses it with a closed union of
 * codes. The message is one line that says what was being done, to which reference or path; impossible states throw
 * a plain `Error` instead.
 */
export class SlipwayError<Code extends string = string> extends Error {
  readonly code: Code;
  readonly hint: string | undefined;
  readonly exitCode: number | undefined;
  readonly retryable: boolean;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(code: Code, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = details.hint;
    this.exitCode = details.exitCode;
    this.retryable = details.retryable ?? false;
    this.facts = details.facts ?? {};
  }
}

/** True for an error of Node's own system calls, optionally of one code such as `ENOENT`. */
export function isSystemError(error: unknown, ...codes: string[]): error is NodeJS.ErrnoException {
  if (!(error instanceof Error) || typeof (error as NodeJS.ErrnoException).code !== 'string') return false;
  return codes.length === 0 || codes.includes((error as NodeJS.ErrnoException).code as string);
}

/** True for a system call that failed, as an error of Node or of our own calls tells of it; not for an abort. */
export function isFailedCall(error: unknown): error is NodeJS.ErrnoException {
  return isSystemError(error) && error.syscall !== undefined;
}

/**
 * What `read` gives; undefined where nothing is there: where the system refuses it with one of `codes`, such as
 * ENOENT. Without codes: where it refuses it for whatever reason.
 */
export function ifThere<T>(read: () => T, ...codes: string[]): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isSystemError(error, ...codes)) return undefined;
    throw error;
  }
}

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

/** Why a system call failed, without the call and its path: `permission denied`. */
export function systemReason(error: Error): string {
  const text = systemErrorText(error);
  return text.slice(text.lastIndexOf(': ') + 1).trim();
}
