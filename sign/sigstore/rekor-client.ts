import { createHash } from 'node:crypto';
import { isJsonObject, type JsonObject } from '../../image/json.ts';
import { SignError } from '../error.ts';
import { callService, parseAnswer, type ServiceAccess } from './http.ts';
import type { LoggedSignature } from './rekor-entry.ts';

const CREATED = 201;
const CONFLICT = 409;

/**
 * Records a signature in a Rekor (v1) log.
 * @returns the signed entry timestamp as JSON text, the value of Cosign's `bundle` annotation
 * @throws SignError `signing`
 */
export async function uploadToRekor(
  rekorUrl: URL,
  logged: LoggedSignature,
  access: ServiceAccess,
): Promise<string> {
  const entries = new URL(`${rekorUrl.pathname.replace(/\/$/, '')}/api/v1/log/entries`, rekorUrl);
  const body = JSON.stringify(hashedRekord(logged));
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  let answer = await callService('Rekor', entries, { method: 'POST', body, headers }, access);
  if (answer.status === CONFLICT) {
    const uuid = /\/([0-9a-f]{16,128})$/.exec(answer.headers.get('location') ?? '')?.[1];
    if (uuid)
      answer = await callService(
        'Rekor',
        new URL(`${entries.href}/${uuid}`),
        { method: 'GET', headers },
        access,
      );
  }
  if (answer.status !== CREATED && answer.status !== 200)
    throw new SignError(
      'signing',
      `Error uploading a log entry: Rekor answered with status ${answer.status}`,
    );
  const [entry, ...more] = Object.values(parseAnswer('Rekor', answer));
  if (!isJsonObject(entry) || more.length > 0)
    throw new SignError('signing', 'expected 1 Rekor entry in the answer');
  return entryTimestamp(entry);
}

/** The hashedrekord v0.0.1 entry about a signature. */
export function hashedRekord({ keyOrCertificate, signature, payload }: LoggedSignature): JsonObject {
  return {
    apiVersion: '0.0.1',
    kind: 'hashedrekord',
    spec: {
      data: { hash: { algorithm: 'sha256', value: createHash('sha256').update(payload).digest('hex') } },
      signature: {
        content: Buffer.from(signature).toString('base64'),
        publicKey: { content: Buffer.from(keyOrCertificate).toString('base64') },
      },
    },
  };
}

function entryTimestamp(entry: JsonObject): string {
  const { body, integratedTime, logIndex, logID, verification } = entry;
  const signedEntryTimestamp = isJsonObject(verification) ? verification.signedEntryTimestamp : undefined;
  if (typeof body !== 'string' || typeof signedEntryTimestamp !== 'string')
    throw new SignError('signing', 'invalid Rekor entry (missing data)');
  if (!Number.isSafeInteger(integratedTime) || !Number.isSafeInteger(logIndex) || typeof logID !== 'string')
    throw new SignError('signing', 'invalid Rekor entry (missing data)');
  return JSON.stringify({
    SignedEntryTimestamp: signedEntryTimestamp,
    Payload: { body, integratedTime, logIndex, logID },
  });
}
