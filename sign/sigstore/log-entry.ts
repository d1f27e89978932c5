import { createHash } from 'node:crypto';
import { isJsonObject, type JsonObject, type JsonValue } from '../../image/json.ts';
import { invalid } from '../error.ts';
import type { LogEntry } from './bundle-format.ts';
import { canonicalJson } from './canonical-json.ts';
import { readOnePem } from './pem.ts';
import { verifyBlob } from './public-key.ts';
import { checkHashedRekord, checkSameKey } from './rekor-entry.ts';
import { parseSigned, signedBase64 } from './signed-json.ts';
import { type LogKey, verifyInclusion } from './transparency-log.ts';
import { isWithin } from './validity.ts';

/** The envelope that a log entry must be about. */
export interface LoggedEnvelope {
  /** PEM of the public key or certificate that verifies the signature. */
  readonly keyOrCertificate: string;
  readonly signature: Uint8Array;
  readonly payload: Uint8Array;
  /** What was signed: DSSE's encoding of type and payload. */
  readonly signed: Uint8Array;
}

/**
 * Checks that a log took an entry in and, where it promised so, when (Rekor 1 and 2).
 * @param knownMs a time that somebody else vouches for, by which log keys are chosen where the log names none
 * @returns the time that the log signed, milliseconds since the epoch; undefined where it only signed a checkpoint
 * @throws SignError `invalid-signature`
 */
export function verifyLogEntry(
  entry: LogEntry,
  logKeys: readonly LogKey[],
  knownMs: number | undefined,
): number | undefined {
  const { signedEntryTimestamp, inclusionProof } = entry;
  if (!signedEntryTimestamp && !inclusionProof) throw invalid('a log entry proves nothing');
  const integratedMs = signedEntryTimestamp ? entry.integratedTime * 1000 : undefined;
  const keys = logKeys.filter((log) => isWithin(log, integratedMs ?? knownMs)).map(({ key }) => key);
  if (inclusionProof) verifyInclusion(entry.body, inclusionProof, keys);
  if (!signedEntryTimestamp) return undefined;
  const signed = canonicalJson({
    body: Buffer.from(entry.body).toString('base64'),
    integratedTime: entry.integratedTime,
    logID: entry.logId,
    logIndex: entry.logIndex,
  });
  if (!keys.some((key) => verifyBlob(key, Buffer.from(signed), signedEntryTimestamp)))
    throw invalid('cryptographic signature verification of Rekor SET failed');
  return integratedMs;
}

/** @throws SignError `invalid-signature` when an entry is about another envelope, signature or key (SECURITY S08) */
export function checkLogEntry(entry: LogEntry, logged: LoggedEnvelope): void {
  const body = parseSigned(entry.body, 'log entry');
  if (body.kind !== entry.kind || body.apiVersion !== entry.version)
    throw invalid('a log entry is of another kind than the bundle says');
  const check = CHECKS.get(`${entry.kind} ${entry.version}`);
  if (!check) throw invalid(`log entries of kind ${JSON.stringify(entry.kind)} are not supported`);
  check(body, logged);
  // Rekor 2 makes no promises.
  if (entry.version !== '0.0.1' && !entry.inclusionProof)
    throw invalid('an entry of Rekor 2 must have an inclusion proof');
}

/** By kind and version: Rekor 1, and Rekor 2 (rekor-tiles entry.proto in its JSON form). */
const CHECKS: ReadonlyMap<string, (body: JsonObject, logged: LoggedEnvelope) => void> = new Map([
  ['hashedrekord 0.0.1', (body, logged) => checkHashedRekord(body, { ...logged, payload: logged.signed })],
  ['dsse 0.0.1', ({ spec }, logged) => checkDsse(object(spec), logged)],
  ['hashedrekord 0.0.2', ({ spec }, logged) => checkHashedRekord2(object(spec), logged)],
  ['dsse 0.0.2', ({ spec }, logged) => checkDsse2(object(spec), logged)],
]);

function checkDsse(spec: JsonObject, { keyOrCertificate, signature, payload }: LoggedEnvelope): void {
  const one = only(spec.signatures);
  const { algorithm, value } = object(spec.payloadHash);
  if (algorithm !== 'sha256' || value !== createHash('sha256').update(payload).digest('hex'))
    throw invalid('payload in the log entry does not match');
  if (one.signature !== Buffer.from(signature).toString('base64'))
    throw invalid('signature in the log entry does not match');
  checkSameKey(Buffer.from(String(one.verifier), 'base64'), keyOrCertificate);
}

function checkHashedRekord2(spec: JsonObject, logged: LoggedEnvelope): void {
  const { data, signature } = object(spec.hashedRekordV002);
  checkHash(object(data), logged.signed);
  checkSignature2(object(signature), logged);
}

function checkDsse2(spec: JsonObject, logged: LoggedEnvelope): void {
  const { payloadHash, signatures } = object(spec.dsseV002);
  checkHash(object(payloadHash), logged.payload);
  checkSignature2(only(signatures), logged);
}

const HASHES: ReadonlyMap<JsonValue | undefined, string> = new Map([
  ['SHA2_256', 'sha256'],
  ['SHA2_384', 'sha384'],
  ['SHA2_512', 'sha512'],
]);

function checkHash({ algorithm, digest }: JsonObject, bytes: Uint8Array): void {
  const hash = HASHES.get(algorithm);
  if (hash === undefined || !createHash(hash).update(bytes).digest().equals(signedBase64(digest, 'digest')))
    throw invalid('payload in the log entry does not match');
}

function checkSignature2({ content, verifier }: JsonObject, logged: LoggedEnvelope): void {
  if (!Buffer.from(logged.signature).equals(signedBase64(content, 'content')))
    throw invalid('signature in the log entry does not match');
  const { x509Certificate, publicKey } = object(verifier);
  const { label, der } = readOnePem(logged.keyOrCertificate, 'key or certificate');
  const [ours, other] = label === 'CERTIFICATE' ? [x509Certificate, publicKey] : [publicKey, x509Certificate];
  if (other !== undefined || !Buffer.from(der).equals(signedBase64(object(ours).rawBytes, 'rawBytes')))
    throw invalid('key in the log entry does not match');
}

function only(list: JsonValue | undefined): JsonObject {
  if (!Array.isArray(list) || list.length !== 1) throw invalid('malformed log entry');
  return object(list[0]);
}

function object(value: JsonValue | undefined): JsonObject {
  if (!isJsonObject(value)) throw invalid('malformed log entry');
  return value;
}
