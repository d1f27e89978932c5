import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { DER, derEncode, derInteger, derOid, derPublicKey, oidText } from '../der.ts';
import { invalid } from '../error.ts';
import { ByteReader } from './packets.ts';

/** A public key or subkey packet, RFC 9580 section 5.5.2. */
export interface PublicKeyPacket {
  readonly version: 4 | 6;
  /** Upper-case hex: 40 digits for version 4, 64 for version 6. */
  readonly fingerprint: string;
  /** Upper-case hex, 16 digits. */
  readonly keyId: string;
  /** Seconds since the epoch. */
  readonly created: number;
  readonly algorithm: number;
  /** Undefined for algorithms that cannot verify (encryption only) or are not supported. */
  readonly key?: KeyObject;
  /** The smallest digest in bytes that DSA and ECDSA keys accept, as GnuPG demands; 0 for others. */
  readonly smallestDigest: number;
  /** The octets that signatures over this key hash. */
  readonly hashed: Uint8Array;
}

export const ALGORITHM = {
  rsa: 1,
  rsaSign: 3,
  dsa: 17,
  ecdsa: 19,
  eddsaLegacy: 22,
  ed25519: 27,
  ed448: 28,
} as const;

/** Curves of RFC 9580 section 9.2 and RFC 5639, with the bits of their order. */
const CURVE_BITS: ReadonlyMap<string, number> = new Map([
  ['1.2.840.10045.3.1.7', 256],
  ['1.3.132.0.34', 384],
  ['1.3.132.0.35', 521],
  ['1.3.132.0.10', 256],
  ['1.3.36.3.3.2.8.1.1.7', 256],
  ['1.3.36.3.3.2.8.1.1.11', 384],
  ['1.3.36.3.3.2.8.1.1.13', 512],
]);
const ED25519_LEGACY = '1.3.6.1.4.1.11591.15.1';
const ED448_LEGACY = '1.3.101.113';
/** Shorter RSA and DSA moduli are refused. */
const SMALLEST_MODULUS_BITS = 1024;

/** @throws SignError `invalid-signature` for a malformed packet or an unsupported version */
export function parsePublicKey(body: Uint8Array): PublicKeyPacket {
  const reader = new ByteReader(body);
  const version = reader.byte();
  if (version !== 4 && version !== 6) throw invalid(`OpenPGP key of unsupported version ${version}`);
  const created = reader.number(4);
  const algorithm = reader.byte();
  const material = version === 6 ? new ByteReader(reader.take(reader.number(4))) : reader;
  const prefix =
    version === 4
      ? Uint8Array.of(0x99, body.length >> 8, body.length & 0xff)
      : Uint8Array.of(
          0x9b,
          body.length >>> 24,
          (body.length >> 16) & 0xff,
          (body.length >> 8) & 0xff,
          body.length & 0xff,
        );
  const hashed = Buffer.concat([prefix, body]);
  const fingerprint = createHash(version === 4 ? 'sha1' : 'sha256')
    .update(hashed)
    .digest('hex')
    .toUpperCase();
  return {
    version,
    fingerprint,
    keyId: version === 4 ? fingerprint.slice(-16) : fingerprint.slice(0, 16),
    created,
    algorithm,
    smallestDigest: 0,
    hashed,
    ...keyMaterial(algorithm, material),
  };
}

type Material = { readonly key?: KeyObject; readonly smallestDigest?: number };

function keyMaterial(algorithm: number, reader: ByteReader): Material {
  switch (algorithm) {
    case ALGORITHM.rsa:
    case ALGORITHM.rsaSign: {
      const n = reader.mpi();
      const e = reader.mpi();
      if (n.length * 8 < SMALLEST_MODULUS_BITS) return {};
      return { key: made({ format: 'jwk', key: { kty: 'RSA', n: url64(n), e: url64(e) } }) };
    }
    case ALGORITHM.dsa:
      return dsaKey(reader);
    case ALGORITHM.ecdsa:
      return ecKey(oidText(reader.take(reader.byte())), reader.mpi());
    case ALGORITHM.eddsaLegacy: {
      const oid = oidText(reader.take(reader.byte()));
      const point = reader.mpi();
      if (oid === ED25519_LEGACY && point.length === 33 && point[0] === 0x40)
        return okpKey('Ed25519', point.subarray(1));
      // GnuPG writes Ed448 points with and without the prefix.
      if (oid === ED448_LEGACY && point.length >= 57) return okpKey('Ed448', point.subarray(-57));
      return {};
    }
    case ALGORITHM.ed25519:
      return okpKey('Ed25519', reader.take(32));
    case ALGORITHM.ed448:
      return okpKey('Ed448', reader.take(57));
    default:
      return {};
  }
}

function dsaKey(reader: ByteReader): Material {
  const [p, q, g, y] = [reader.mpi(), reader.mpi(), reader.mpi(), reader.mpi()];
  if (p.length * 8 < SMALLEST_MODULUS_BITS) return {};
  const parameters = derEncode(DER.sequence, derInteger(p), derInteger(q), derInteger(g));
  return {
    key: fromDer(derPublicKey('1.2.840.10040.4.1', parameters, derInteger(y))),
    smallestDigest: q.length,
  };
}

function ecKey(oid: string, point: Uint8Array): Material {
  const bits = CURVE_BITS.get(oid);
  if (bits === undefined || point[0] !== 4) return {};
  return {
    key: fromDer(derPublicKey('1.2.840.10045.2.1', derOid(oid), point)),
    smallestDigest: bits === 521 ? 64 : bits / 8,
  };
}

function okpKey(curve: 'Ed25519' | 'Ed448', point: Uint8Array): Material {
  return { key: made({ format: 'jwk', key: { kty: 'OKP', crv: curve, x: url64(point) } }) };
}

function fromDer(der: Uint8Array): KeyObject {
  return made({ key: Buffer.from(der), format: 'der', type: 'spki' });
}

/** @throws SignError `invalid-signature` for a point off the curve or numbers that make no key */
function made(input: Parameters<typeof createPublicKey>[0]): KeyObject {
  try {
    return createPublicKey(input);
  } catch (cause) {
    throw invalid('OpenPGP key material makes no public key', cause);
  }
}

function url64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
