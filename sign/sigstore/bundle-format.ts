import { isJsonObject, type JsonObject, type JsonValue } from '../../image/json.ts';
import { invalid } from '../error.ts';
import { formatPem } from './pem.ts';
import { parseSigned, signedBase64 } from './signed-json.ts';
import type { InclusionProof } from './transparency-log.ts';

/** Media type of bundles, and artifact type of their referrers. */
export const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/** A Sigstore bundle of version 0.1 to 0.3, protobuf-specs sigstore_bundle.proto in its JSON form. Unverified. */
export interface Bundle {
  /** PEM of the leaf certificate; undefined where a public key is meant. */
  readonly certificate?: string;
  /** What the signer calls the key. */
  readonly keyHint?: string;
  readonly entries: readonly LogEntry[];
  /** RFC 3161 responses. */
  readonly timestamps: readonly Uint8Array[];
  readonly content:
    | {
        readonly kind: 'dsse';
        readonly payloadType: string;
        readonly payload: Uint8Array;
        readonly signature: Uint8Array;
      }
    | { readonly kind: 'message'; readonly digest: Uint8Array; readonly signature: Uint8Array };
}

export interface LogEntry {
  readonly kind: string;
  readonly version: string;
  readonly logIndex: number;
  /** Hexadecimal. */
  readonly logId: string;
  /** Seconds since the epoch. */
  readonly integratedTime: number;
  readonly body: Uint8Array;
  readonly signedEntryTimestamp?: Uint8Array;
  readonly inclusionProof?: InclusionProof;
}

const BUNDLE_MEDIA_TYPE =
  /^application\/vnd\.dev\.sigstore\.bundle(?:\+json;version=0\.[123]|\.v0\.3(?:\.[0-9]+)?\+json)$/;

/** @throws SignError `invalid-signature` */
export function parseBundle(bytes: Uint8Array): Bundle {
  const root = parseSigned(bytes, 'sigstore bundle');
  if (typeof root.mediaType !== 'string' || !BUNDLE_MEDIA_TYPE.test(root.mediaType))
    throw invalid('not a sigstore bundle of a known version');
  const material = object(root.verificationMaterial, 'verificationMaterial');
  return {
    ...readIdentity(material),
    entries: list(material.tlogEntries, 'tlogEntries').map(readEntry),
    timestamps: readTimestamps(material.timestampVerificationData),
    content: readContent(root),
  };
}

function readIdentity(material: JsonObject): Pick<Bundle, 'certificate' | 'keyHint'> {
  if (material.certificate !== undefined) return { certificate: certificatePem(material.certificate) };
  if (material.x509CertificateChain !== undefined) {
    const [leaf] = list(
      object(material.x509CertificateChain, 'x509CertificateChain').certificates,
      'certificates',
    );
    return { certificate: certificatePem(leaf) };
  }
  const hint = object(material.publicKey, 'publicKey').hint;
  return typeof hint === 'string' ? { keyHint: hint } : {};
}

function certificatePem(value: JsonValue | undefined): string {
  return formatPem('CERTIFICATE', base64(object(value, 'certificate').rawBytes, 'rawBytes'));
}

function readContent(root: JsonObject): Bundle['content'] {
  if ((root.dsseEnvelope === undefined) === (root.messageSignature === undefined))
    throw invalid('a bundle must have either an envelope or a message signature');
  if (root.dsseEnvelope !== undefined) {
    const envelope = object(root.dsseEnvelope, 'dsseEnvelope');
    const signatures = list(envelope.signatures, 'signatures');
    if (signatures.length !== 1) throw invalid('an envelope must have exactly one signature');
    return {
      kind: 'dsse',
      payloadType: text(envelope.payloadType, 'payloadType'),
      payload: base64(envelope.payload, 'payload'),
      signature: base64(object(signatures[0], 'signatures').sig, 'sig'),
    };
  }
  const message = object(root.messageSignature, 'messageSignature');
  const digest = object(message.messageDigest, 'messageDigest');
  if (digest.algorithm !== 'SHA2_256') throw invalid('the message digest is not SHA2_256');
  return {
    kind: 'message',
    digest: base64(digest.digest, 'digest'),
    signature: base64(message.signature, 'signature'),
  };
}

function readTimestamps(data: JsonValue | undefined): readonly Uint8Array[] {
  if (data === undefined) return [];
  const { rfc3161Timestamps } = object(data, 'timestampVerificationData');
  return list(rfc3161Timestamps, 'rfc3161Timestamps').map((one) =>
    base64(object(one, 'rfc3161Timestamps').signedTimestamp, 'signedTimestamp'),
  );
}

function readEntry(value: JsonValue): LogEntry {
  const entry = object(value, 'tlogEntries');
  const kind = object(entry.kindVersion, 'kindVersion');
  const promise = entry.inclusionPromise;
  const proof = entry.inclusionProof;
  return {
    kind: text(kind.kind, 'kind'),
    version: text(kind.version, 'version'),
    // Protobuf's JSON leaves zeros out.
    logIndex: integer(entry.logIndex ?? '0', 'logIndex'),
    logId: Buffer.from(base64(object(entry.logId, 'logId').keyId, 'keyId')).toString('hex'),
    integratedTime: integer(entry.integratedTime ?? '0', 'integratedTime'),
    body: base64(entry.canonicalizedBody, 'canonicalizedBody'),
    ...(promise !== undefined && {
      signedEntryTimestamp: base64(
        object(promise, 'inclusionPromise').signedEntryTimestamp,
        'signedEntryTimestamp',
      ),
    }),
    ...(proof !== undefined && { inclusionProof: readProof(object(proof, 'inclusionProof')) }),
  };
}

function readProof(proof: JsonObject): InclusionProof {
  return {
    index: integer(proof.logIndex ?? '0', 'logIndex'),
    treeSize: integer(proof.treeSize, 'treeSize'),
    rootHash: base64(proof.rootHash, 'rootHash'),
    hashes: list(proof.hashes, 'hashes').map((hash) => base64(hash, 'hashes')),
    checkpoint: text(object(proof.checkpoint, 'checkpoint').envelope, 'envelope'),
  };
}

function object(value: JsonValue | undefined, field: string): JsonObject {
  if (!isJsonObject(value)) throw invalid(`${field} of a sigstore bundle is not an object`);
  return value;
}

function list(value: JsonValue | undefined, field: string): readonly JsonValue[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > 256)
    throw invalid(`${field} of a sigstore bundle is not a short list`);
  return value;
}

function text(value: JsonValue | undefined, field: string): string {
  if (typeof value !== 'string') throw invalid(`${field} of a sigstore bundle is not a string`);
  return value;
}

/** Protobuf's JSON writes 64-bit integers as strings. */
function integer(value: JsonValue | undefined, field: string): number {
  const number = typeof value === 'string' && /^[0-9]{1,16}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0)
    throw invalid(`${field} of a sigstore bundle is not an integer`);
  return number;
}

function base64(value: JsonValue | undefined, field: string): Uint8Array {
  return signedBase64(value, `${field} of a sigstore bundle`);
}
