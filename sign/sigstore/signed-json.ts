import { ImageError } from '../../image/error.ts';
import { type JsonObject, type JsonValue, parseJsonObject } from '../../image/json.ts';
import { decodeBase64, SIGNATURE_LIMIT_BYTES } from '../../image/signature.ts';
import { invalid } from '../error.ts';

/** A JSON document that signatures depend on: no duplicate keys, bounded. @throws SignError `invalid-signature` */
export function parseSigned(bytes: Uint8Array | string, what: string): JsonObject {
  return orInvalid(() => parseJsonObject(bytes, { what, limitBytes: SIGNATURE_LIMIT_BYTES, limitDepth: 64 }));
}

/** @throws SignError `invalid-signature` */
export function signedBase64(value: JsonValue | undefined, field: string): Uint8Array {
  if (typeof value !== 'string') throw invalid(`${field} is not base64 text`);
  return orInvalid(() => decodeBase64(value), `${field} is not base64 text`);
}

function orInvalid<T>(read: () => T, message?: string): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw invalid(message ?? cause.message, cause);
  }
}
