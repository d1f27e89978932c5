import { constants, createHash, verify } from 'node:crypto';
import { invalid } from '../error.ts';
import { ByteReader } from './packets.ts';
import { ALGORITHM, type PublicKeyPacket } from './public-key.ts';

/** A signature packet of version 3, 4 or 6, RFC 9580 section 5.2. Unverified. */
export interface SignaturePacket {
  readonly version: 3 | 4 | 6;
  readonly type: number;
  readonly algorithm: number;
  readonly hash: number;
  /** Seconds since the epoch. */
  readonly created: number;
  /** Seconds after {@link created}; 0 and undefined: never. */
  readonly lifetime?: number;
  readonly issuerKeyId?: string;
  readonly issuerFingerprint?: string;
  /** Seconds after the key's creation; on self-signatures. */
  readonly keyLifetime?: number;
  readonly keyFlags?: number;
  readonly embedded: readonly Uint8Array[];
  /** Numbers or raw octets, by algorithm. */
  readonly values: readonly Uint8Array[];
  /** Hashed before the signed data (version 6). */
  readonly salt: Uint8Array;
  /** Hashed after the signed data. */
  readonly trailer: Uint8Array;
}

export const SIGNATURE_TYPE = {
  binary: 0x00,
  certificationGeneric: 0x10,
  certificationPositive: 0x13,
  subkeyBinding: 0x18,
  primaryBinding: 0x19,
  directKey: 0x1f,
  keyRevocation: 0x20,
  subkeyRevocation: 0x28,
  certificationRevocation: 0x30,
} as const;

interface HashAlgorithm {
  readonly name: string;
  readonly bytes: number;
}

/** RFC 9580 section 9.5 without MD5, which GnuPG calls weak and refuses. */
const HASHES: ReadonlyMap<number, HashAlgorithm> = new Map([
  [2, { name: 'sha1', bytes: 20 }],
  [3, { name: 'ripemd160', bytes: 20 }],
  [8, { name: 'sha256', bytes: 32 }],
  [9, { name: 'sha384', bytes: 48 }],
  [10, { name: 'sha512', bytes: 64 }],
  [11, { name: 'sha224', bytes: 28 }],
  [12, { name: 'sha3-256', bytes: 32 }],
  [14, { name: 'sha3-512', bytes: 64 }],
]);

/** @throws SignError `invalid-signature` */
export function parseSignature(body: Uint8Array): SignaturePacket {
  const reader = new ByteReader(body);
  const version = reader.byte();
  if (version === 3) return parseVersion3(reader);
  if (version !== 4 && version !== 6) throw invalid(`OpenPGP signature of unsupported version ${version}`);
  const [type, algorithm, hash] = [reader.byte(), reader.byte(), reader.byte()];
  const lengthBytes = version === 4 ? 2 : 4;
  const hashedArea = reader.take(reader.number(lengthBytes));
  const unhashedArea = reader.take(reader.number(lengthBytes));
  reader.take(2);
  const salt = version === 6 ? reader.take(reader.byte()) : new Uint8Array(0);
  const fields = readSubpackets(hashedArea, unhashedArea);
  if (fields.created === undefined) throw invalid('OpenPGP signature without creation time');
  const head = Buffer.from(body.subarray(0, 4 + lengthBytes + hashedArea.length));
  const end = Buffer.from([version, 0xff, 0, 0, 0, 0]);
  end.writeUInt32BE(head.length, 2);
  return {
    version,
    type,
    algorithm,
    hash,
    ...fields,
    created: fields.created,
    values: readValues(algorithm, reader),
    salt,
    trailer: Buffer.concat([head, end]),
  };
}

function parseVersion3(reader: ByteReader): SignaturePacket {
  if (reader.byte() !== 5) throw invalid('malformed OpenPGP version 3 signature');
  const hashedPart = reader.take(5);
  const fields = new ByteReader(hashedPart);
  const type = fields.byte();
  const created = fields.number(4);
  const issuerKeyId = hex(reader.take(8));
  const algorithm = reader.byte();
  const hash = reader.byte();
  reader.take(2);
  return {
    version: 3,
    type,
    algorithm,
    hash,
    created,
    issuerKeyId,
    embedded: [],
    values: readValues(algorithm, reader),
    salt: new Uint8Array(0),
    trailer: hashedPart,
  };
}

interface Subpackets {
  created?: number;
  lifetime?: number;
  keyLifetime?: number;
  keyFlags?: number;
  issuerKeyId?: string;
  issuerFingerprint?: string;
  embedded: Uint8Array[];
}

/** Subpackets that change nothing for us, so that they may be critical: exportable, trust, features and the like. */
const HARMLESS = new Set([4, 5, 6, 7, 11, 12, 21, 22, 23, 24, 25, 26, 28, 29, 30, 31, 34, 35, 39]);

/** The unhashed area may only name the issuer and carry the back signature: nobody signed it. */
function readSubpackets(hashedArea: Uint8Array, unhashedArea: Uint8Array): Subpackets {
  const fields: Subpackets = { embedded: [] };
  for (const { type, critical, value } of splitSubpackets(hashedArea)) {
    const body = new ByteReader(value);
    if (type === 2) fields.created = body.number(4);
    else if (type === 3) fields.lifetime = body.number(4);
    else if (type === 9) fields.keyLifetime = body.number(4);
    else if (type === 27) fields.keyFlags = value[0] ?? 0;
    else if (!readIssuer(fields, type, value) && critical && !HARMLESS.has(type))
      throw invalid(`OpenPGP signature has the unknown critical subpacket ${type}`);
  }
  for (const { type, value } of splitSubpackets(unhashedArea)) readIssuer(fields, type, value);
  return fields;
}

function readIssuer(fields: Subpackets, type: number, value: Uint8Array): boolean {
  if (type === 16) fields.issuerKeyId ??= hex(new ByteReader(value).take(8));
  else if (type === 33) fields.issuerFingerprint ??= hex(value.subarray(1));
  else if (type === 32) fields.embedded.push(value);
  else return false;
  return true;
}

function splitSubpackets(area: Uint8Array): { type: number; critical: boolean; value: Uint8Array }[] {
  const reader = new ByteReader(area);
  const subpackets = [];
  while (!reader.done) {
    const first = reader.byte();
    const length =
      first < 192 ? first : first < 255 ? ((first - 192) << 8) + reader.byte() + 192 : reader.number(4);
    if (length === 0) throw invalid('malformed OpenPGP subpacket');
    const type = reader.byte();
    subpackets.push({ type: type & 0x7f, critical: (type & 0x80) !== 0, value: reader.take(length - 1) });
  }
  return subpackets;
}

function readValues(algorithm: number, reader: ByteReader): Uint8Array[] {
  const values: Uint8Array[] = [];
  if (algorithm === ALGORITHM.ed25519) values.push(reader.take(64));
  else if (algorithm === ALGORITHM.ed448) values.push(reader.take(114));
  else if (algorithm === ALGORITHM.rsa || algorithm === ALGORITHM.rsaSign) values.push(reader.mpi());
  else if (
    algorithm === ALGORITHM.dsa ||
    algorithm === ALGORITHM.ecdsa ||
    algorithm === ALGORITHM.eddsaLegacy
  )
    values.push(reader.mpi(), reader.mpi());
  else throw invalid(`OpenPGP signature of unsupported algorithm ${algorithm}`);
  if (!reader.done) throw invalid('OpenPGP signature has data behind its end');
  return values;
}

/**
 * Whether `key` made this signature over `data`. Says nothing about the key's validity.
 * @throws SignError `invalid-signature` for a refused hash or a key that cannot verify
 */
export function isMadeBy(
  signature: SignaturePacket,
  key: PublicKeyPacket,
  data: readonly Uint8Array[],
): boolean {
  const hash = HASHES.get(signature.hash);
  if (!hash) throw invalid(`OpenPGP signature uses the refused hash algorithm ${signature.hash}`);
  if (signature.algorithm !== key.algorithm || !key.key) throw invalid('key cannot verify this signature');
  if (hash.bytes < key.smallestDigest)
    throw invalid(`${hash.name} is too short for a key that needs ${key.smallestDigest * 8} bits`);
  const signed = Buffer.concat([signature.salt, ...data, signature.trailer]);
  const [first = new Uint8Array(0), second = new Uint8Array(0)] = signature.values;
  switch (key.algorithm) {
    case ALGORITHM.rsa:
    case ALGORITHM.rsaSign: {
      const length = Math.ceil((key.key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
      const padded = leftPad(first, length);
      return (
        padded !== undefined &&
        verify(hash.name, signed, { key: key.key, padding: constants.RSA_PKCS1_PADDING }, padded)
      );
    }
    case ALGORITHM.dsa:
    case ALGORITHM.ecdsa: {
      const length = numberLength(key);
      const [r, s] = [leftPad(first, length), leftPad(second, length)];
      if (!r || !s) return false;
      return verify(hash.name, signed, { key: key.key, dsaEncoding: 'ieee-p1363' }, Buffer.concat([r, s]));
    }
    default: {
      const digest = createHash(hash.name).update(signed).digest();
      const raw = key.algorithm === ALGORITHM.eddsaLegacy ? joinEdDsa(key, first, second) : first;
      return raw !== undefined && verify(null, digest, key.key, raw);
    }
  }
}

/** Bytes of r and s: of q for DSA, of the curve's order for ECDSA (66 for P-521). */
function numberLength(key: PublicKeyPacket): number {
  if (key.algorithm === ALGORITHM.dsa) return key.smallestDigest;
  return key.key?.asymmetricKeyDetails?.namedCurve === 'secp521r1' ? 66 : key.smallestDigest;
}

function joinEdDsa(key: PublicKeyPacket, first: Uint8Array, second: Uint8Array): Uint8Array | undefined {
  const half = key.key?.asymmetricKeyType === 'ed448' ? 57 : 32;
  const [r, s] = [leftPad(first, half), leftPad(second, half)];
  return r && s && Buffer.concat([r, s]);
}

function leftPad(bytes: Uint8Array, length: number): Uint8Array | undefined {
  if (bytes.length > length) return undefined;
  return bytes.length === length ? bytes : Buffer.concat([new Uint8Array(length - bytes.length), bytes]);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').toUpperCase();
}
