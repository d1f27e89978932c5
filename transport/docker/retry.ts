import { setTimeout as sleep } from 'node:timers/promises';
import { SlipwayError } from '../../errors.ts';

/** How often and how patiently one request is repeated. */
export interface RetryPolicy {
  /** Repetitions after the first try. */
  readonly retries: number;
  /** First pause in milliseconds; doubles each time. */
  readonly delayMs: number;
}

const MAX_DELAY_MS = 60_000;
/** Rate limits are worth more patience than failures: containers/image tries five times. */
const RATE_LIMIT_TRIES = 5;
const TRANSIENT = new Set([408, 500, 502, 503, 504]);

/** Whether an answer asks to come back later. */
export function isTransientStatus(status: number): boolean {
  return status === 429 || TRANSIENT.has(status);
}

/** True while a request may be repeated after this many tries. */
export function mayRetry(policy: RetryPolicy, tries: number, status?: number): boolean {
  if (policy.retries === 0) return false;
  return status === 429 ? tries < Math.max(RATE_LIMIT_TRIES, policy.retries + 1) : tries <= policy.retries;
}

/** True for errors that carry the mark `retryable`. */
export function isRetryable(error: unknown): boolean {
  return error instanceof SlipwayError && error.retryable;
}

/**
 * The pause before the next try in milliseconds: what Retry-After asks for, at most a minute, else doubling from the
 * policy's delay; with up to a quarter more, so that many clients do not come back at once.
 */
export function retryDelay(
  policy: RetryPolicy,
  tries: number,
  retryAfter: string | undefined,
  now: number,
): number {
  const asked = parseRetryAfter(retryAfter, now);
  const base = asked ?? policy.delayMs * 2 ** (tries - 1);
  return Math.min(base, MAX_DELAY_MS) * (1 + Math.random() / 4);
}

/** Seconds or an HTTP date (RFC 9110, 10.2.3); undefined for what is absent, malformed, negative or past. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)) return undefined;
  const delay = Date.parse(text) - now;
  return delay > 0 ? delay : undefined;
}

/** Sleeps, or throws the abort reason as soon as there is one. */
export async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(delayMs, undefined, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
