import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../image/json.ts';
import { SignError } from '../error.ts';
import { callService, parseAnswer, type ServiceAccess } from './http.ts';

export interface DeviceGrantOptions {
  readonly issuerUrl: URL;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Shown to the person who signs. */
  readonly onInstructions: (text: string) => void;
}

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/**
 * An ID token by the device authorization grant, RFC 8628.
 * @throws SignError `signing`
 */
export async function requestIdToken(options: DeviceGrantOptions, access: ServiceAccess): Promise<string> {
  const discovery = await discover(options.issuerUrl, access);
  const client = {
    client_id: options.clientId,
    ...(options.clientSecret && { client_secret: options.clientSecret }),
  };
  const start = await post(discovery.device, { ...client, scope: 'openid email' }, access);
  if (start.status !== 200) throw failed(`the issuer answered with status ${start.status}`);
  const grant = parseAnswer('OIDC issuer', start);
  const uri = text(grant, 'verification_uri_complete') ?? text(grant, 'verification_uri');
  const deviceCode = text(grant, 'device_code');
  if (!uri || !deviceCode) throw failed('the answer has no device code');
  options.onInstructions(
    `Enter the verification code ${text(grant, 'user_code') ?? ''} in your browser at: ${uri}`,
  );
  let waitSeconds = seconds(grant.interval, 5, 60);
  const rounds = Math.ceil(seconds(grant.expires_in, 300, 1800) / waitSeconds);
  for (let round = 0; round < rounds; round += 1) {
    await sleep(waitSeconds * 1000, undefined, access.signal ? { signal: access.signal } : {});
    const answer = parseAnswer(
      'OIDC issuer',
      await post(discovery.token, { ...client, grant_type: GRANT, device_code: deviceCode }, access),
    );
    const idToken = text(answer, 'id_token');
    if (idToken) return idToken;
    const error = text(answer, 'error');
    if (error === 'slow_down') waitSeconds += 5;
    else if (error !== 'authorization_pending') throw failed(error ?? 'the answer has no ID token');
  }
  throw failed('the code was not confirmed in time');
}

async function discover(issuerUrl: URL, access: ServiceAccess): Promise<{ device: URL; token: URL }> {
  const url = new URL(`${issuerUrl.pathname.replace(/\/$/, '')}/.well-known/openid-configuration`, issuerUrl);
  const document = parseAnswer(
    'OIDC issuer',
    await callService('OIDC issuer', url, { method: 'GET' }, access),
  );
  const device = URL.parse(text(document, 'device_authorization_endpoint') ?? '');
  const token = URL.parse(text(document, 'token_endpoint') ?? '');
  if (!device || !token) throw failed('the issuer does not offer the device grant');
  return { device, token };
}

function post(url: URL, form: Record<string, string>, access: ServiceAccess) {
  const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
  return callService(
    'OIDC issuer',
    url,
    { method: 'POST', headers, body: new URLSearchParams(form).toString() },
    access,
  );
}

function text(json: JsonObject, key: string): string | undefined {
  const value = json[key];
  return typeof value === 'string' ? value : undefined;
}

function seconds(value: unknown, fallback: number, most: number): number {
  return typeof value === 'number' && value > 0 ? Math.min(value, most) : fallback;
}

function failed(why: string): SignError {
  return new SignError('signing', `Error authenticating with OIDC: ${why}`);
}
