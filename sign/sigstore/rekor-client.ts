import { createHash } from 'node:crypto';
import { isJsonObject, type JsonObject, type JsonValue } from '../../image/json.ts';
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
  const {
    signedEntryTimestamp,
    inclusionProof: _proof,
    ...payload
  } = await submit(rekorUrl, hashedRekord(logged), access);
  return JSON.stringify({ SignedEntryTimestamp: signedEntryTimestamp, Payload: payload });
}

/**
 * Records an envelope in a Rekor (v1) log.
 * @param envelope DSSE in its JSON form
 * @param keyOrCertificate PEM of what verifies it
 * @returns a bundle's `tlogEntries` member
 * @throws SignError `signing`
 */
export async function logEnvelope(
  rekorUrl: URL,
  envelope: JsonObject,
  keyOrCertificate: string,
  access: ServiceAccess,
): Promise<JsonObject> {
  const verifiers = [Buffer.from(keyOrCertificate).toString('base64')];
  const proposedContent = { envelope: JSON.stringify(envelope), verifiers };
  const proposed = { apiVersion: '0.0.1', kind: 'dsse', spec: { proposedContent } };
  const entry = await submit(rekorUrl, proposed, access);
  return {
    logIndex: String(entry.logIndex),
    logId: { keyId: fromHex(entry.logID) },
    kindVersion: { kind: 'dsse', version: '0.0.1' },
    integratedTime: String(entry.integratedTime),
    inclusionPromise: { signedEntryTimestamp: entry.signedEntryTimestamp },
    ...(isJsonObject(entry.inclusionProof) && { inclusionProof: proofOf(entry.inclusionProof) }),
    canonicalizedBody: entry.body,
  };
}

/** From Rekor's own form, in which hashes are hexadecimal. */
function proofOf({ logIndex, rootHash, treeSize, hashes, checkpoint }: JsonObject): JsonObject {
  return {
    logIndex: String(logIndex),
    rootHash: fromHex(rootHash),
    treeSize: String(treeSize),
    hashes: Array.isArray(hashes) ? hashes.map(fromHex) : [],
    checkpoint: { envelope: String(checkpoint) },
  };
}

function fromHex(text: JsonValue | undefined): string {
  if (typeof text !== 'string' || !/^(?:[0-9a-f]{2})+$/.test(text))
    throw new SignError('signing', 'invalid Rekor entry (a hash is not hexadecimal)');
  return Buffer.from(text, 'hex').toString('base64');
}

async function submit(rekorUrl: URL, proposed: JsonObject, access: ServiceAccess): Promise<RekorEntry> {
  const entries = new URL(`${rekorUrl.pathname.replace(/\/$/, '')}/api/v1/log/entries`, rekorUrl);
  const body = JSON.stringify(proposed);
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
  return checkedEntry(entry);
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

interface RekorEntry {
  readonly body: string;
  readonly integratedTime: number;
  readonly logIndex: number;
  readonly logID: string;
  readonly signedEntryTimestamp: string;
  readonly inclusionProof: JsonValue | undefined;
}

function checkedEntry(entry: JsonObject): RekorEntry {
  const { body, integratedTime, logIndex, logID, verification } = entry;
  const { signedEntryTimestamp, inclusionProof } = isJsonObject(verification) ? verification : {};
  if (typeof body !== 'string' || typeof signedEntryTimestamp !== 'string')
    throw new SignError('signing', 'invalid Rekor entry (missing data)');
  if (!Number.isSafeInteger(integratedTime) || !Number.isSafeInteger(logIndex) || typeof logID !== 'string')
    throw new SignError('signing', 'invalid Rekor entry (missing data)');
  const [time, index] = [integratedTime as number, logIndex as number];
  return { body, integratedTime: time, logIndex: index, logID, signedEntryTimestamp, inclusionProof };
}
