import { createHash } from 'node:crypto';
import { isJsonObject, type JsonObject, type JsonValue } from '../../image/json.ts';
import { invalid, SignError } from '../error.ts';
import { canonicalJson } from './canonical-json.ts';
import { readOnePem } from './pem.ts';
import { verifyBlob } from './public-key.ts';
import { parseSigned, signedBase64 } from './signed-json.ts';
import type { LogKey } from './transparency-log.ts';
import { isWithin } from './validity.ts';

/** What a log entry must be about. */
export interface LoggedSignature {
  /** PEM of the public key or certificate that verifies the signature. */
  readonly keyOrCertificate: string;
  readonly signature: Uint8Array;
  /** The signed bytes. */
  readonly payload: Uint8Array;
}

/**
 * Checks a signed entry timestamp without asking the log: one of the log's keys signed the entry, and the entry is
 * about this very key, signature and payload (SECURITY S08; containers/image signature/internal/rekor_set.go).
 * @returns when the log took the entry in, milliseconds since the epoch
 * @throws SignError `invalid-signature`
 */
export function verifyEntryTimestamp(
  logKeys: readonly LogKey[],
  entryTimestamp: string,
  logged: LoggedSignature,
): number {
  const set = exactKeys(parseSigned(entryTimestamp, 'Rekor SET'), ['SignedEntryTimestamp', 'Payload']);
  if (!isJsonObject(set.Payload)) throw invalid('Rekor SET payload is not an object');
  const signature = base64(set.SignedEntryTimestamp, 'SignedEntryTimestamp');
  const signed = Buffer.from(canonicalJson(set.Payload));
  const signers = logKeys.filter(({ key }) => verifyBlob(key, signed, signature));
  if (signers.length === 0) throw invalid('cryptographic signature verification of Rekor SET failed');
  const payload = exactKeys(set.Payload, ['body', 'integratedTime', 'logIndex', 'logID']);
  const { integratedTime, logIndex, logID } = payload;
  if (!Number.isSafeInteger(integratedTime) || !Number.isSafeInteger(logIndex) || typeof logID !== 'string')
    throw invalid('parsing Rekor SET payload: a field has the wrong type');
  checkHashedRekord(parseSigned(base64(payload.body, 'body'), 'the body of a Rekor SET payload'), logged);
  const atMs = (integratedTime as number) * 1000;
  if (!signers.some((log) => isWithin(log, atMs))) throw invalid('the log was not trusted at that time');
  return atMs;
}

/** @throws SignError `invalid-signature` when a hashedrekord entry is about something else */
export function checkHashedRekord(entry: JsonObject, logged: LoggedSignature): void {
  if (entry.kind !== 'hashedrekord') throw invalid(`invalid kind value: ${JSON.stringify(entry.kind)}`);
  if (entry.apiVersion !== '0.0.1')
    throw invalid(`unsupported Rekor SET Payload hashedrekord version ${JSON.stringify(entry.apiVersion)}`);
  const spec = object(entry.spec, 'spec');
  const signature = object(spec.signature, 'signature');
  const publicKey = object(signature.publicKey, 'signature.publicKey');
  checkSameKey(base64(publicKey.content, 'signature.publicKey.content'), logged.keyOrCertificate);
  if (!equal(base64(signature.content, 'signature.content'), logged.signature))
    throw invalid('signature in Rekor SET does not match');
  const hash = object(object(spec.data, 'data').hash, 'data.hash');
  if (hash.algorithm !== 'sha256')
    throw invalid(`Unexpected "data.hash.algorithm" value ${JSON.stringify(hash.algorithm)}`);
  if (hash.value !== createHash('sha256').update(logged.payload).digest('hex'))
    throw invalid('payload in Rekor SET does not match');
}

/** PEM may be wrapped differently, so the content is compared; each side must be one block and nothing else. */
export function checkSameKey(inEntry: Uint8Array, expected: string): void {
  const entryKey = onePem(inEntry, 'publicKey in Rekor SET');
  const ours = onePem(expected, 'public key or cert to be matched against publicKey in Rekor SET');
  if (!equal(entryKey, ours)) throw invalid('publicKey in Rekor SET does not match');
}

function onePem(input: Uint8Array | string, what: string): Uint8Array {
  try {
    return readOnePem(input, what).der;
  } catch (cause) {
    if (!(cause instanceof SignError)) throw cause;
    throw invalid(`${what}: ${cause.message}`, cause);
  }
}

function exactKeys(json: JsonObject, keys: readonly string[]): JsonObject {
  for (const key of Object.keys(json))
    if (!keys.includes(key)) throw invalid(`Unknown key ${JSON.stringify(key)} in Rekor SET`);
  for (const key of keys)
    if (json[key] === undefined) throw invalid(`Key ${JSON.stringify(key)} missing in Rekor SET`);
  return json;
}

function object(value: JsonValue | undefined, field: string): JsonObject {
  if (!isJsonObject(value)) throw invalid(`Missing "${field}" field in hashedrekord`);
  return value;
}

function base64(value: JsonValue | undefined, field: string): Uint8Array {
  return signedBase64(value, `Field ${field} of a Rekor entry`);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a).equals(b);
}
