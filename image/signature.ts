import { ImageError } from './error.ts';
import { parseJsonObject } from './json.ts';

/** containers/image caps one signature and a list of them at 4 MiB. */
export const SIGNATURE_LIMIT_BYTES = 4 * 1024 * 1024;
/** The most signatures that a lookaside store may give for one manifest (CVE-2023-46737: endless signatures). */
export const SIGNATURE_LIMIT_COUNT = 128;
/** The same for attachments, which pile up when an image is signed again and again, and for their bytes together. */
const ATTACHMENT_LIMIT_COUNT = 1000;
const ATTACHMENTS_LIMIT_BYTES = 64 * 1024 * 1024;

/**
 * One signature as it is stored beside an image: an OpenPGP simple signature (its raw bytes), or a sigstore one
 * (media type, payload and annotations of the attachment layer). Unverified.
 */
export type SignatureBlob =
  | { readonly kind: 'simple'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'sigstore';
      readonly mediaType: string;
      readonly payload: Uint8Array;
      readonly annotations: Readonly<Record<string, string>>;
    };

/** The first bytes of an OpenPGP message: compressed data, one-pass signature, or signature packet. */
const OPENPGP_STARTS = [
  0xa0, 0xa1, 0xa2, 0xa3, 0xc8, 0x90, 0x91, 0x92, 0x93, 0x3d, 0xc4, 0x88, 0x89, 0x8a, 0x8b, 0xc2,
];

/**
 * Reads the storage form that containers/image uses in `dir:` images, lookaside servers and containers-storage
 * (internal/signature FromBlob): bare OpenPGP, or NUL, a format name, a newline and the format's own bytes.
 * @throws ImageError `bad-signature`, `too-large`, `bad-json`
 */
export function parseSignatureBlob(blob: Uint8Array): SignatureBlob {
  if (blob.length > SIGNATURE_LIMIT_BYTES) {
    throw new ImageError(
      'too-large',
      `signature of ${blob.length} bytes exceeds the limit of ${SIGNATURE_LIMIT_BYTES} bytes`,
    );
  }
  const first = blob[0];
  if (first === undefined) throw bad('empty signature blob');
  if (OPENPGP_STARTS.includes(first)) return { kind: 'simple', bytes: blob };
  if (first !== 0) throw bad(`unrecognized signature format, starting with binary 0x${first.toString(16)}`);
  const end = blob.indexOf(0x0a);
  if (end < 0) throw bad('invalid signature format, missing newline');
  const name = blob.subarray(1, end);
  const odd = name.find((byte) => byte < 0x20 || byte >= 0x7f);
  if (odd !== undefined) throw bad(`invalid signature format, non-ASCII byte 0x${odd.toString(16)}`);
  const format = Buffer.from(name).toString('latin1');
  const content = blob.subarray(end + 1);
  if (format === 'simple-signing') return { kind: 'simple', bytes: content };
  if (format === 'sigstore-json') return parseSigstoreJson(content);
  throw bad(`unrecognized signature format ${JSON.stringify(format.slice(0, 100))}`);
}

/** The storage form of a signature; OpenPGP ones stay bare, for old readers. */
export function formatSignatureBlob(signature: SignatureBlob): Uint8Array {
  if (signature.kind === 'simple') return signature.bytes;
  const json = JSON.stringify({
    mimeType: signature.mediaType,
    payload: Buffer.from(signature.payload).toString('base64'),
    annotations: signature.annotations,
  });
  return Buffer.from(`\0sigstore-json\n${json}`);
}

function parseSigstoreJson(content: Uint8Array): SignatureBlob {
  const json = parseJsonObject(content, {
    what: 'sigstore signature',
    limitBytes: SIGNATURE_LIMIT_BYTES,
  });
  const { mimeType, payload } = json;
  const annotations = json.annotations ?? {};
  if (typeof mimeType !== 'string' || typeof payload !== 'string')
    throw bad('a sigstore signature has no mimeType or payload');
  if (typeof annotations !== 'object' || Array.isArray(annotations))
    throw bad('the annotations of a sigstore signature are not an object');
  const entries = Object.entries(annotations);
  if (entries.some(([, value]) => typeof value !== 'string'))
    throw bad('an annotation of a sigstore signature is not a string');
  return {
    kind: 'sigstore',
    mediaType: mimeType,
    payload: decodeBase64(payload),
    annotations: Object.fromEntries(entries) as Record<string, string>,
  };
}

/** Why the attachments of one image must not be read; undefined where they may be. */
export function excessiveAttachments(layers: readonly { readonly size: number }[]): string | undefined {
  if (layers.length > ATTACHMENT_LIMIT_COUNT) return `more than ${ATTACHMENT_LIMIT_COUNT} attachments`;
  const bytes = layers.reduce((sum, { size }) => sum + size, 0);
  return bytes > ATTACHMENTS_LIMIT_BYTES
    ? `attachments of ${bytes} bytes exceed the limit of ${ATTACHMENTS_LIMIT_BYTES} bytes`
    : undefined;
}

/** Standard base64 with its padding and nothing else, as Go's StdEncoding (which skips line breaks). */
export function decodeBase64(text: string): Uint8Array {
  const plain = text.replace(/[\r\n]/g, '');
  if (plain.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(plain)) throw bad('invalid base64');
  return Buffer.from(plain, 'base64');
}

function bad(why: string): ImageError {
  return new ImageError('bad-signature', why);
}
