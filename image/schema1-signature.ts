import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { goJsonText } from './go-json.ts';
import type { Schema1Document } from './schema1.ts';

/**
 * The bytes of a schema 1 manifest with a libtrust signature by a throw-away key: registries demand one, and nobody
 * relies on it (containers/image, AddDummyV2S1Signature).
 * @param time of the signature, RFC 3339 without fraction
 */
export function signSchema1(document: Schema1Document, time: string): Uint8Array {
  const { name, tag, architecture, fsLayers, history } = document;
  const unsigned = goJsonText({ name, tag, architecture, fsLayers, history, schemaVersion: 1 });
  // libtrust names the closing brace apart, so that the signatures fit in before it.
  const body = unsigned.slice(0, -1);
  const tail = '}';
  const protectedHeader = encode(
    goJsonText({ formatLength: Buffer.byteLength(body), formatTail: encode(tail), time }),
  );
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const payload = `${protectedHeader}.${encode(unsigned)}`;
  const signature = sign('sha256', Buffer.from(payload), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' });
  const kid = keyId(publicKey.export({ format: 'der', type: 'spki' }));
  const signatures = [
    {
      header: { jwk: { crv, kid, kty, x, y }, alg: 'ES256' },
      signature: signature.toString('base64url'),
      protected: protectedHeader,
    },
  ];
  return Buffer.from(`${body},"signatures":${goJsonText(signatures)}${tail}`);
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64url');
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** libtrust's fingerprint: 240 bits of SHA-256 over the DER key, in base 32, in groups of four. */
function keyId(der: Buffer): string {
  const bits = [...createHash('sha256').update(der).digest().subarray(0, 30)]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  const letters = (bits.match(/.{5}/g) ?? []).map((five) => BASE32[Number.parseInt(five, 2)]).join('');
  return (letters.match(/.{4}/g) ?? []).join(':');
}
