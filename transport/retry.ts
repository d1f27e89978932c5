import { setTimeout as sleep } from 'node:timers/promises';
import { isSystemError, SlipwayError } from '../errors.ts';
import type { OnProgress } from './contract.ts';
import { TransportError } from './error.ts';

/** How often and how soon a whole operation is tried again. */
export interface RetryOptions {
  /** Tries after the first one; default 0. */
  readonly times?: number;
  /** Milliseconds between tries; absent: 1 s, 2 s, 4 s and so on, with up to a tenth more. */
  readonly delayMs?: number;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Tries again while failures may be temporary: what the failing part says of itself, and what networks do. */
export async function withRetries<T>(
  what: string,
  work: () => Promise<T>,
  options: RetryOptions = {},
): Promise<T> {
  const { times = 0, delayMs, onProgress, signal } = options;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt > times || signal?.aborted || !mayPass(error)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      onProgress?.({ type: 'retried', what, attempt, reason });
      const wait = delayMs ?? 1000 * 2 ** (attempt - 1) * (1 + Math.random() / 10);
      await sleep(wait, undefined, { signal });
    }
  }
}

const TEMPORARY = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'EINTR',
  'EAGAIN',
  'EBUSY',
];

/** True where the same call may succeed later. */
export function mayPass(error: unknown): boolean {
  if (error instanceof SlipwayError)
    return error.retryable || (error.cause !== undefined && mayPass(error.cause));
  return isSystemError(error, ...TEMPORARY);
}

/** True where an upload failed that would go on if it got its blob once more from the beginning. */
export function needsRereading(error: unknown): boolean {
  return error instanceof TransportError && error.facts.reread === true;
}

/** Marks an error so. */
export function askForRereading(error: unknown): unknown {
  if (!(error instanceof TransportError)) return error;
  const { code, message, facts, hint } = error;
  return new TransportError(code, message, {
    cause: error,
    retryable: true,
    facts: { ...facts, reread: true },
    ...(hint ? { hint } : {}),
  });
}
