import { createPublicKey } from 'node:crypto';
import { isJsonObject, type JsonObject, type JsonValue } from '../../image/json.ts';
import { SignError } from '../error.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import type { FulcioTrust } from './certificate-identity.ts';
import { checkStrength } from './public-key.ts';
import { parseSigned, signedBase64 } from './signed-json.ts';
import type { TimeAuthority } from './timestamp.ts';
import type { LogKey } from './transparency-log.ts';
import type { Validity } from './validity.ts';

/** What a sigstore instance says of itself: protobuf-specs sigstore_trustroot.proto. */
export interface TrustedRoot {
  readonly logKeys: readonly LogKey[];
  /** Certificate authorities for signers; whom to accept is for the caller to say. */
  readonly authorities: readonly Pick<FulcioTrust, 'roots' | 'intermediates' | 'validity'>[];
  readonly timeAuthorities: readonly TimeAuthority[];
}

const MEDIA_TYPE =
  /^application\/vnd\.dev\.sigstore\.trustedroot(?:\+json;version=0\.[12]|\.v0\.[12]\+json)$/;
const LIMIT_MEMBERS = 256;

/**
 * Reads a `trusted_root.json`. Certificate transparency logs in it are not used.
 * @throws SignError `bad-key`
 */
export function parseTrustedRoot(bytes: Uint8Array, path: string): TrustedRoot {
  try {
    return read(parseSigned(bytes, 'trusted root'));
  } catch (cause) {
    if (!(cause instanceof SignError)) throw cause;
    throw new SignError('bad-key', `trusted root ${path}: ${cause.message}`, { cause });
  }
}

function read(root: JsonObject): TrustedRoot {
  if (typeof root.mediaType !== 'string' || !MEDIA_TYPE.test(root.mediaType))
    throw malformed('it is not a sigstore trusted root of a known version');
  return {
    logKeys: list(root.tlogs, 'tlogs').map(readLog),
    authorities: list(root.certificateAuthorities, 'certificateAuthorities').map((authority) => {
      const { chain, validity } = readAuthority(authority);
      return { roots: chain.slice(-1), intermediates: chain.slice(0, -1), validity };
    }),
    timeAuthorities: list(root.timestampAuthorities, 'timestampAuthorities').map((authority) => {
      const { chain, validity } = readAuthority(authority);
      return { roots: chain.slice(-1), others: chain.slice(0, -1), ...validity };
    }),
  };
}

function readLog(log: JsonObject): LogKey {
  const { rawBytes, validFor } = object(log.publicKey, 'publicKey');
  const der = Buffer.from(signedBase64(rawBytes, 'rawBytes'));
  try {
    const key = checkStrength(createPublicKey({ key: der, format: 'der', type: 'spki' }));
    return { key, ...readValidity(validFor) };
  } catch (cause) {
    if (cause instanceof SignError) throw cause;
    throw malformed('the key of a log cannot be read', cause);
  }
}

function readAuthority(authority: JsonObject): {
  readonly chain: readonly Certificate[];
  readonly validity: Validity;
} {
  const { certificates } = object(authority.certChain, 'certChain');
  const chain = list(certificates, 'certificates').map(({ rawBytes }) =>
    parseCertificate(signedBase64(rawBytes, 'rawBytes')),
  );
  if (chain.length === 0) throw malformed('an authority has no certificate');
  return { chain, validity: readValidity(authority.validFor) };
}

function readValidity(value: JsonValue | undefined): Validity {
  if (value === undefined) return {};
  const { start, end } = object(value, 'validFor');
  return {
    ...(start !== undefined && { fromMs: readTime(start) }),
    ...(end !== undefined && { toMs: readTime(end) }),
  };
}

function readTime(value: JsonValue): number {
  const atMs =
    typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(value)
      ? Date.parse(value)
      : Number.NaN;
  if (Number.isNaN(atMs)) throw malformed('validFor is not a time');
  return atMs;
}

function list(value: JsonValue | undefined, field: string): readonly JsonObject[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > LIMIT_MEMBERS) throw malformed(`${field} is not a short list`);
  return value.map((member) => object(member, field));
}

function object(value: JsonValue | undefined, field: string): JsonObject {
  if (!isJsonObject(value)) throw malformed(`${field} is not an object`);
  return value;
}

function malformed(message: string, cause?: unknown): SignError {
  return new SignError('bad-key', message, { cause });
}
