import { goJson, sortedMap } from '../image/go-json.ts';
import { isJsonObject, parseJsonObject } from '../image/json.ts';
import type { StoredSignature } from './contract.ts';
import { TransportError } from './error.ts';

const SIGSTORE_PREFIX = Buffer.from('\0sigstore-json\n');
const SIMPLE_PREFIX = Buffer.from('\0simple-signing\n');
export const SIGNATURE_LIMIT_BYTES = 4 * 1024 * 1024;

/** A signature as one file, as containers/image's `dir:` transport and storage keep it. */
export function signatureToBlob(signature: StoredSignature): Uint8Array {
  if (signature.kind === 'simple') return signature.bytes;
  const json = goJson({
    mimeType: signature.mediaType,
    payload: Buffer.from(signature.payload).toString('base64'),
    annotations: sortedMap(signature.annotations) ?? new Map(),
  });
  return Buffer.concat([SIGSTORE_PREFIX, json]);
}

/** @throws TransportError `bad-layout` for an unknown kind */
export function signatureFromBlob(blob: Uint8Array): StoredSignature {
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
  // OpenPGP messages start with a set high bit; everything else is named by a prefix.
  if (bytes.length === 0) throw new TransportError('bad-layout', 'empty signature blob');
  if (((bytes[0] as number) & 0x80) !== 0) return { kind: 'simple', bytes };
  if (bytes.subarray(0, SIMPLE_PREFIX.length).equals(SIMPLE_PREFIX))
    return { kind: 'simple', bytes: bytes.subarray(SIMPLE_PREFIX.length) };
  if (!bytes.subarray(0, SIGSTORE_PREFIX.length).equals(SIGSTORE_PREFIX))
    throw new TransportError('bad-layout', 'unrecognized signature format, starting with binary data');
  const json = parseJsonObject(bytes.subarray(SIGSTORE_PREFIX.length), {
    what: 'signature',
    limitBytes: SIGNATURE_LIMIT_BYTES,
  });
  const annotations = isJsonObject(json.annotations) ? json.annotations : {};
  return {
    kind: 'sigstore',
    mediaType: String(json.mimeType ?? ''),
    payload: Buffer.from(String(json.payload ?? ''), 'base64'),
    annotations: Object.fromEntries(Object.entries(annotations).map(([key, value]) => [key, String(value)])),
  };
}
