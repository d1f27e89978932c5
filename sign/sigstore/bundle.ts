import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { type Digest, encodedOf } from '../../image/digest.ts';
import { isJsonObject, type JsonObject } from '../../image/json.ts';
import { invalid, SignError } from '../error.ts';
import { BUNDLE_TYPE, type Bundle, parseBundle } from './bundle-format.ts';
import { type FulcioTrust, verifyFulcioCertificate } from './certificate-identity.ts';
import { publicPart, type SigstoreIdentity } from './identity.ts';
import { checkLogEntry, type LoggedEnvelope, verifyLogEntry } from './log-entry.ts';
import { readOnePem } from './pem.ts';
import { signBlob } from './private-key.ts';
import { formatSigstoreKey, keyDer, verifyBlob } from './public-key.ts';
import { parseSigned } from './signed-json.ts';
import { type TimeAuthority, verifyTimestamp } from './timestamp.ts';
import type { LogKey } from './transparency-log.ts';

const STATEMENT_TYPE = 'application/vnd.in-toto+json';
/** The predicate of an image signature, as Cosign 3 makes them. */
export const SIGN_PREDICATE = 'https://sigstore.dev/cosign/sign/v1';

/**
 * A bundle that signs a manifest's digest as Cosign 3 does: an in-toto statement in a DSSE envelope.
 * @param log records the envelope and gives the `tlogEntries` member; absent: consumers must not demand one
 */
export async function createBundle(
  identity: SigstoreIdentity,
  manifest: Digest,
  log?: (envelope: JsonObject, keyOrCertificate: string) => Promise<JsonObject>,
): Promise<Uint8Array> {
  const payload = Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { [manifest.slice(0, manifest.indexOf(':'))]: encodedOf(manifest) } }],
      predicateType: SIGN_PREDICATE,
      predicate: {},
    }),
  );
  const signature = signBlob(identity.privateKey, preAuthentication(STATEMENT_TYPE, payload), 'by-curve');
  const dsseEnvelope = {
    payload: payload.toString('base64'),
    payloadType: STATEMENT_TYPE,
    signatures: [{ sig: Buffer.from(signature).toString('base64') }],
  };
  const entry = await log?.(dsseEnvelope, publicPart(identity));
  const verificationMaterial = { ...materialOf(identity), ...(entry && { tlogEntries: [entry] }) };
  return Buffer.from(JSON.stringify({ mediaType: BUNDLE_TYPE, verificationMaterial, dsseEnvelope }));
}

function materialOf({ certificate, privateKey }: SigstoreIdentity): JsonObject {
  if (certificate) {
    const { der } = readOnePem(certificate, 'certificate');
    return { certificate: { rawBytes: Buffer.from(der).toString('base64') } };
  }
  const hint = createHash('sha256')
    .update(keyDer(createPublicKey(privateKey)))
    .digest('base64');
  return { publicKey: { hint } };
}

/** Who may have signed a bundle, and who must have seen it. */
export interface BundleTrust {
  /** Exactly one of keys and fulcio. */
  readonly keys?: readonly KeyObject[];
  readonly fulcio?: FulcioTrust;
  /** Given: a log entry by one of these keys is required. Required with `fulcio`. */
  readonly logKeys?: readonly LogKey[];
  /** Vouch for the time where the log does not (Rekor 2). */
  readonly timeAuthorities?: readonly TimeAuthority[];
}

export interface VerifiedBundle {
  readonly predicateType: string;
  /** PEM of what verified it. */
  readonly by: string;
  /** When a log or time stamping authority saw it, milliseconds since the epoch; undefined where none vouches. */
  readonly seenAtMs?: number;
}

/**
 * Verifies that a bundle is a statement about `manifest` by a trusted signer (SECURITY S08, S09, S11, S14).
 * @throws SignError `invalid-signature`; anything thrown means: not verified
 */
export function verifyBundle(bytes: Uint8Array, manifest: Digest, trust: BundleTrust): VerifiedBundle {
  const bundle = parseBundle(bytes);
  const { content } = bundle;
  if (content.kind !== 'dsse') throw invalid('a message signature does not say which image it is about');
  if (content.payloadType !== STATEMENT_TYPE)
    throw invalid('the envelope does not hold an in-toto statement');
  const signed = preAuthentication(content.payloadType, content.payload);
  const { key, by, seenAtMs } = signerOf(bundle, { ...content, signed }, trust);
  if (!verifyBlob(key, signed, content.signature, 'by-curve'))
    throw invalid('cryptographic signature verification of the bundle failed');
  const predicateType = checkStatement(content.payload, manifest);
  return { predicateType, by, ...(seenAtMs !== undefined && { seenAtMs }) };
}

type Envelope = Omit<LoggedEnvelope, 'keyOrCertificate'>;

function signerOf(
  bundle: Bundle,
  envelope: Envelope,
  trust: BundleTrust,
): { readonly key: KeyObject; readonly by: string; readonly seenAtMs?: number } {
  if (!trust.fulcio) return keyOf(bundle, envelope, trust);
  const { certificate } = bundle;
  if (certificate === undefined) throw invalid('the bundle has no certificate');
  const times = seenTimes(bundle, { ...envelope, keyOrCertificate: certificate }, trust);
  const [seenAtMs] = times;
  if (seenAtMs === undefined) throw invalid('nobody vouches for the time of the signature');
  const [key] = times.map((time) =>
    verifyFulcioCertificate(trust.fulcio as FulcioTrust, certificate, undefined, time),
  );
  return { key: key as KeyObject, by: certificate, seenAtMs };
}

function keyOf(bundle: Bundle, envelope: Envelope, trust: BundleTrust) {
  const { signed, signature } = envelope;
  const key = trust.keys?.find((candidate) => verifyBlob(candidate, signed, signature, 'by-curve'));
  if (!key) throw invalid('none of the trusted keys signed the bundle');
  const by = formatSigstoreKey(key);
  if (!trust.logKeys) return { key, by };
  const [seenAtMs] = seenTimes(bundle, { ...envelope, keyOrCertificate: by }, trust);
  return { key, by, ...(seenAtMs !== undefined && { seenAtMs }) };
}

/**
 * All times that a trusted log or authority vouches for, after checking that a trusted log has the envelope. Entries of
 * other logs and timestamps of other authorities count for nothing, but every entry must be about this envelope.
 */
function seenTimes(bundle: Bundle, logged: LoggedEnvelope, trust: BundleTrust): readonly number[] {
  if (bundle.entries.length === 0) throw invalid('the bundle has no log entry');
  for (const entry of bundle.entries) checkLogEntry(entry, logged);
  const { timeAuthorities = [], logKeys = [] } = trust;
  const stamped = attempts(timeAuthorities.length > 0 ? bundle.timestamps : [], (response) =>
    verifyTimestamp(response, logged.signature, timeAuthorities),
  );
  const entries = attempts(bundle.entries, (entry) => verifyLogEntry(entry, logKeys, stamped.good[0]));
  if (entries.good.length === 0) throw entries.failures[0];
  const times = [...entries.good, ...stamped.good].filter((time) => time !== undefined);
  if (times.length === 0 && trust.fulcio && stamped.failures[0]) throw stamped.failures[0];
  return times;
}

function attempts<T, R>(
  items: readonly T[],
  check: (item: T) => R,
): { readonly good: readonly R[]; readonly failures: readonly SignError[] } {
  const good: R[] = [];
  const failures: SignError[] = [];
  for (const item of items) {
    try {
      good.push(check(item));
    } catch (error) {
      if (!(error instanceof SignError)) throw error;
      failures.push(error);
    }
  }
  return { good, failures };
}

/** @returns the predicate type @throws SignError `invalid-signature` when no subject is this manifest */
function checkStatement(payload: Uint8Array, manifest: Digest): string {
  const { _type: type, subject, predicateType } = parseSigned(payload, 'in-toto statement');
  if (type !== 'https://in-toto.io/Statement/v1' && type !== 'https://in-toto.io/Statement/v0.1')
    throw invalid('the envelope does not hold an in-toto statement');
  const algorithm = manifest.slice(0, manifest.indexOf(':'));
  const subjects = Array.isArray(subject) ? subject : [];
  const matches = subjects.some(
    (one) => isJsonObject(one) && isJsonObject(one.digest) && one.digest[algorithm] === encodedOf(manifest),
  );
  if (!matches) throw invalid(`the statement is not about ${manifest}`);
  if (typeof predicateType !== 'string') throw invalid('the statement has no predicate type');
  return predicateType;
}

/** DSSE's pre-authentication encoding. */
function preAuthentication(type: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `),
    payload,
  ]);
}
