import { ImageError } from '../../image/error.ts';
import { isJsonObject, parseJsonObject } from '../../image/json.ts';
import { printable } from '../../image/printable.ts';
import { TransportError, type TransportErrorCode } from '../error.ts';
import { parseChallenges } from './challenge.ts';
import type { HttpResponse } from './http.ts';
import { redactUrl } from './origin.ts';
import { readBody } from './read-body.ts';
import { isTransientStatus } from './retry.ts';

const BODY_LIMIT_BYTES = 1024 * 1024;

/** The default texts of registries' error codes: with them the message alone is shown. */
const DEFAULT_MESSAGES: Readonly<Record<string, string>> = {
  UNAUTHORIZED: 'authentication required',
  DENIED: 'requested access to the resource is denied',
  MANIFEST_UNKNOWN: 'manifest unknown',
  MANIFEST_INVALID: 'manifest invalid',
  NAME_UNKNOWN: 'repository name not known to registry',
  BLOB_UNKNOWN: 'blob unknown to registry',
  TOOMANYREQUESTS: 'too many requests',
  UNSUPPORTED: 'The operation is unsupported.',
  UNKNOWN: 'unknown error',
};

interface RegistryFailure {
  readonly code: string;
  readonly message: string;
}

/**
 * Turns an unexpected answer into an error; reads its body. The wording is containers/image's.
 * @param doing what was tried: `reading manifest latest in docker.io/library/alpine`
 */
export async function registryError(response: HttpResponse, doing: string): Promise<TransportError> {
  const body = await bodyText(response);
  const failures = [...challengeFailures(response), ...parseFailures(body, response.status)];
  const why = failures[0] ? wording(failures[0]) : plainWording(response, body);
  return new TransportError(codeOf(response.status, failures), `${doing}: ${printable(why)}`, {
    retryable: isTransientStatus(response.status),
    facts: {
      status: response.status,
      codes: failures.map(({ code }) => code),
      url: redactUrl(response.url),
    },
    ...(response.status === 401 || response.status === 403
      ? { hint: `log in to ${response.url.host} with an account that may do this, or check the name` }
      : {}),
  });
}

/** True for an error that says there is no such manifest, in the ways that registries say it. */
export function isManifestUnknown(error: unknown): boolean {
  return error instanceof TransportError && error.code === 'not-found' && error.facts.status !== undefined;
}

async function bodyText(response: HttpResponse): Promise<string> {
  try {
    return (await readBody(response, BODY_LIMIT_BYTES, 'error message')).toString('utf8');
  } catch (error) {
    if (error instanceof TransportError) return '';
    throw error;
  }
}

function parseFailures(body: string, status: number): RegistryFailure[] {
  try {
    const json = parseJsonObject(body, { what: 'error message', limitBytes: BODY_LIMIT_BYTES });
    if (typeof json.details === 'string' && json.details)
      return [{ code: status === 401 ? 'UNAUTHORIZED' : 'UNKNOWN', message: json.details }];
    const list = Array.isArray(json.errors) ? json.errors : [];
    return list.flatMap((entry) =>
      isJsonObject(entry)
        ? [
            {
              code: String(entry.code ?? 'UNKNOWN').slice(0, 100),
              message: String(entry.message ?? '').slice(0, 1000),
            },
          ]
        : [],
    );
  } catch (error) {
    if (error instanceof ImageError) return [];
    throw error;
  }
}

/** RFC 6750, 3.1: OAuth errors in the challenge say more than the body. */
function challengeFailures(response: HttpResponse): RegistryFailure[] {
  if (response.status !== 401) return [];
  for (const { scheme, parameters } of parseChallenges(response.values('www-authenticate'))) {
    const error = scheme === 'bearer' ? parameters.get('error') : undefined;
    const code =
      error === 'invalid_token' ? 'UNAUTHORIZED' : error === 'insufficient_scope' ? 'DENIED' : undefined;
    if (code)
      return [{ code, message: parameters.get('error_description') ?? (DEFAULT_MESSAGES[code] as string) }];
  }
  return [];
}

function wording({ code, message }: RegistryFailure): string {
  const standard = DEFAULT_MESSAGES[code];
  if (message === '' || message === standard) return standard ?? code.toLowerCase().replaceAll('_', ' ');
  return `${code.toLowerCase().replaceAll('_', ' ')}: ${message}`;
}

function plainWording(response: HttpResponse, body: string): string {
  const { status } = response;
  if (status === 401) return 'authentication required';
  const reason = response.body.statusMessage ? ` ${response.body.statusMessage}` : '';
  if (status < 400 || status >= 500) return `received unexpected HTTP status: ${status}${reason}`;
  const sample = body.length > 50 ? `${body.slice(0, 50)}...` : body;
  return `StatusCode: ${status}, ${JSON.stringify(sample)}`;
}

function codeOf(status: number, failures: readonly RegistryFailure[]): TransportErrorCode {
  const says = (...codes: string[]) => failures.some(({ code }) => codes.includes(code));
  if (status === 404 || says('MANIFEST_UNKNOWN', 'NAME_UNKNOWN', 'BLOB_UNKNOWN')) return 'not-found';
  if (status === 429) return 'rate-limited';
  if (says('DENIED') || status === 403) return 'denied';
  if (status === 401) return 'unauthorized';
  const vague = failures[0];
  if (vague?.code === 'UNKNOWN' && /not found/i.test(vague.message)) return 'not-found';
  return 'registry';
}
