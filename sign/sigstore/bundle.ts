import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { type Digest, encodedOf } from '../../image/digest.ts';
import { ImageError } from '../../image/error.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../image/json.ts';
import { invalid, SignError } from '../error.ts';
import { BUNDLE_TYPE, type Bundle, type LogEntry, parseBundle } from './bundle-format.ts';
import { canonicalJson } from './canonical-json.ts';
import { type FulcioTrust, verifyFulcioCertificate } from './certificate-identity.ts';
import { readOnePem } from './pem.ts';
import { signBlob } from './private-key.ts';
import { formatSigstoreKey, keyDer, verifyBlob } from './public-key.ts';
import { checkHashedRekord, checkSameKey } from './rekor-entry.ts';
import type { SigstoreIdentity } from './signer.ts';
import { verifyInclusion } from './transparency-log.ts';

const STATEMENT_TYPE = 'application/vnd.in-toto+json';
/** The predicate of an image signature, as Cosign 3 makes them. */
export const SIGN_PREDICATE = 'https://sigstore.dev/cosign/sign/v1';

/**
 * A bundle that signs a manifest's digest as Cosign 3 does: an in-toto statement in a DSSE envelope. It carries no log
 * entry, so consumers must not demand one.
 */
export function createBundle(identity: SigstoreIdentity, manifest: Digest): Uint8Array {
  const payload = Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { [manifest.slice(0, manifest.indexOf(':'))]: encodedOf(manifest) } }],
      predicateType: SIGN_PREDICATE,
      predicate: {},
    }),
  );
  const signature = signBlob(identity.privateKey, preAuthentication(STATEMENT_TYPE, payload), 'by-curve');
  const der = identity.certificate && readOnePem(identity.certificate, 'certificate').der;
  const hint = createHash('sha256')
    .update(keyDer(createPublicKey(identity.privateKey)))
    .digest('base64');
  return Buffer.from(
    JSON.stringify({
      mediaType: BUNDLE_TYPE,
      verificationMaterial: der
        ? { certificate: { rawBytes: Buffer.from(der).toString('base64') } }
        : { publicKey: { hint } },
      dsseEnvelope: {
        payload: payload.toString('base64'),
        payloadType: STATEMENT_TYPE,
        signatures: [{ sig: Buffer.from(signature).toString('base64') }],
      },
    }),
  );
}

/** Who may have signed a bundle, and whether a log must have seen it. */
export interface BundleTrust {
  /** Exactly one of keys and fulcio. */
  readonly keys?: readonly KeyObject[];
  readonly fulcio?: FulcioTrust;
  /** Given: a log entry by one of these keys is required. Required with `fulcio`. */
  readonly logKeys?: readonly KeyObject[];
}

export interface VerifiedBundle {
  readonly predicateType: string;
  /** PEM of what verified it. */
  readonly by: string;
  /** Milliseconds since the epoch; undefined where no log vouches for a time. */
  readonly loggedAtMs?: number;
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
  const { key, by, loggedAtMs } = signerOf(bundle, trust);
  if (
    !verifyBlob(key, preAuthentication(content.payloadType, content.payload), content.signature, 'by-curve')
  )
    throw invalid('cryptographic signature verification of the bundle failed');
  const predicateType = checkStatement(content.payload, manifest);
  return { predicateType, by, ...(loggedAtMs !== undefined && { loggedAtMs }) };
}

function signerOf(bundle: Bundle, trust: BundleTrust): { key: KeyObject; by: string; loggedAtMs?: number } {
  if (trust.fulcio) {
    if (bundle.certificate === undefined) throw invalid('the bundle has no certificate');
    const times = loggedTimes(bundle, bundle.certificate, trust.logKeys ?? []);
    const loggedAtMs = times.find((time) => time !== undefined);
    if (loggedAtMs === undefined) throw invalid('no log vouches for the time of the signature');
    const key = verifyFulcioCertificate(trust.fulcio, bundle.certificate, undefined, loggedAtMs);
    return { key, by: bundle.certificate, loggedAtMs };
  }
  const { content } = bundle;
  if (content.kind !== 'dsse') throw invalid('the bundle has no envelope');
  const signed = preAuthentication(content.payloadType, content.payload);
  const key = trust.keys?.find((candidate) => verifyBlob(candidate, signed, content.signature, 'by-curve'));
  if (!key) throw invalid('none of the trusted keys signed the bundle');
  const by = formatSigstoreKey(key);
  if (!trust.logKeys) return { key, by };
  const loggedAtMs = loggedTimes(bundle, by, trust.logKeys).find((time) => time !== undefined);
  return { key, by, ...(loggedAtMs !== undefined && { loggedAtMs }) };
}

/** The times of every log entry that is about this bundle; each entry must hold, and there must be one. */
function loggedTimes(
  bundle: Bundle,
  keyOrCertificate: string,
  logKeys: readonly KeyObject[],
): (number | undefined)[] {
  if (bundle.entries.length === 0) throw invalid('the bundle has no log entry');
  return bundle.entries.map((entry) => {
    checkEntryBody(entry, bundle, keyOrCertificate);
    return verifyEntry(entry, logKeys);
  });
}

/** @returns the time the log signed; undefined where it only signed a checkpoint */
function verifyEntry(entry: LogEntry, logKeys: readonly KeyObject[]): number | undefined {
  const { signedEntryTimestamp, inclusionProof } = entry;
  if (!signedEntryTimestamp && !inclusionProof) throw invalid('a log entry proves nothing');
  if (inclusionProof) verifyInclusion(entry.body, inclusionProof, logKeys);
  if (!signedEntryTimestamp) return undefined;
  const signed = canonicalJson({
    body: Buffer.from(entry.body).toString('base64'),
    integratedTime: entry.integratedTime,
    logID: entry.logId,
    logIndex: entry.logIndex,
  });
  if (!logKeys.some((key) => verifyBlob(key, Buffer.from(signed), signedEntryTimestamp)))
    throw invalid('cryptographic signature verification of Rekor SET failed');
  return entry.integratedTime * 1000;
}

/** The entry must be about this very envelope, signature and key. */
function checkEntryBody(entry: LogEntry, bundle: Bundle, keyOrCertificate: string): void {
  const { content } = bundle;
  const body = parse(entry.body, 'log entry');
  if (body.kind !== entry.kind || body.apiVersion !== entry.version || content.kind !== 'dsse')
    throw invalid('a log entry is of another kind than the bundle says');
  if (entry.kind === 'hashedrekord') {
    const payload = preAuthentication(content.payloadType, content.payload);
    checkHashedRekord(body, { keyOrCertificate, signature: content.signature, payload });
    return;
  }
  if (entry.kind !== 'dsse' || entry.version !== '0.0.1' || !isJsonObject(body.spec))
    throw invalid(`log entries of kind ${JSON.stringify(entry.kind)} are not supported`);
  const { payloadHash, signatures } = body.spec;
  const [signature, ...more] = Array.isArray(signatures) ? signatures : [];
  if (!isJsonObject(payloadHash) || !isJsonObject(signature) || more.length > 0)
    throw invalid('malformed dsse log entry');
  if (payloadHash.algorithm !== 'sha256' || payloadHash.value !== sha256(content.payload))
    throw invalid('payload in the log entry does not match');
  if (signature.signature !== Buffer.from(content.signature).toString('base64'))
    throw invalid('signature in the log entry does not match');
  checkSameKey(Buffer.from(String(signature.verifier), 'base64'), keyOrCertificate);
}

/** @returns the predicate type @throws SignError `invalid-signature` when no subject is this manifest */
function checkStatement(payload: Uint8Array, manifest: Digest): string {
  const { _type: type, subject, predicateType } = parse(payload, 'in-toto statement');
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

function parse(bytes: Uint8Array, what: string): JsonObject {
  try {
    return parseJsonObject(bytes, { what, limitDepth: 64 });
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new SignError('invalid-signature', cause.message, { cause });
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
