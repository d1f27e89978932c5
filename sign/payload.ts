import { type Digest, tryParseDigest } from '../image/digest.ts';
import { ImageError } from '../image/error.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../image/json.ts';
import { invalid, printable } from './error.ts';

/** What a signature says: containers-signature(5), and Cosign's simple signing payload. */
export interface SignaturePayload {
  readonly digest: Digest;
  /** As written, not parsed: policies compare it. */
  readonly reference: string;
  readonly creator?: string;
  /** Seconds since the epoch. */
  readonly timestamp?: number;
}

export const PAYLOAD_TYPE = {
  simple: 'atomic container signature',
  sigstore: 'cosign container image signature',
} as const;

/** The payload's bytes, keys in the order Go's encoder gives them. */
export function formatPayload(kind: keyof typeof PAYLOAD_TYPE, payload: SignaturePayload): Uint8Array {
  const json = JSON.stringify({
    critical: {
      identity: { 'docker-reference': payload.reference },
      image: { 'docker-manifest-digest': payload.digest },
      type: PAYLOAD_TYPE[kind],
    },
    optional: {
      ...(payload.creator !== undefined && { creator: payload.creator }),
      ...(payload.timestamp !== undefined && { timestamp: payload.timestamp }),
    },
  });
  return Buffer.from(json);
}

/**
 * Reads a payload whose signature was verified already. Each key must be there once and no other; only `optional` may
 * hold unknown ones (SECURITY S07).
 * @throws SignError `invalid-signature`
 */
export function parsePayload(kind: keyof typeof PAYLOAD_TYPE, bytes: Uint8Array): SignaturePayload {
  const json = exactKeys(parseStrict(bytes), ['critical', 'optional']);
  const critical = exactKeys(json.critical, ['type', 'image', 'identity']);
  if (critical.type !== PAYLOAD_TYPE[kind])
    throw invalid(`Unrecognized signature type ${printable(String(critical.type))}`);
  const digestText = text(exactKeys(critical.image, ['docker-manifest-digest']), 'docker-manifest-digest');
  const digest = tryParseDigest(digestText);
  if (digest === undefined) throw invalid(`invalid docker-manifest-digest value ${printable(digestText)}`);
  const reference = text(exactKeys(critical.identity, ['docker-reference']), 'docker-reference');
  // Cosign writes `"optional":null` when there is nothing to say.
  const isEmpty = kind === 'sigstore' && json.optional === null;
  return { digest, reference, ...(isEmpty ? {} : parseOptional(json.optional)) };
}

function parseOptional(value: JsonValue | undefined): { creator?: string; timestamp?: number } {
  if (!isJsonObject(value)) throw invalid('JSON object expected for "optional"');
  const { creator, timestamp } = value;
  if (creator !== undefined && typeof creator !== 'string')
    throw invalid('Field optional.creator is not a string');
  if (timestamp !== undefined && !Number.isSafeInteger(timestamp))
    throw invalid('Field optional.timestamp is not an integer');
  return {
    ...(creator !== undefined && { creator }),
    ...(timestamp !== undefined && { timestamp: timestamp as number }),
  };
}

function parseStrict(bytes: Uint8Array): JsonObject {
  try {
    return parseJsonObject(bytes, { what: 'signature payload', limitDepth: 64 });
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw invalid(cause.message, cause);
  }
}

function exactKeys(value: JsonValue | undefined, keys: readonly string[]): JsonObject {
  if (!isJsonObject(value)) throw invalid('JSON object expected in signature payload');
  for (const key of Object.keys(value))
    if (!keys.includes(key)) throw invalid(`Unknown key ${printable(key)}`);
  for (const key of keys)
    if (!Object.hasOwn(value, key)) throw invalid(`Key ${printable(key)} missing in a JSON object`);
  return value;
}

function text(json: JsonObject, key: string): string {
  const value = json[key];
  if (typeof value !== 'string') throw invalid(`Field ${key} is not a string`);
  return value;
}
