// OpenPGP certificates and messages made packet by packet with Ed25519, so that tests control every field.
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';

export const NOW_MS = Date.UTC(2026, 5, 1);
const NOW = NOW_MS / 1000;
const DAY = 86_400;

export interface TestKey {
  readonly secret: KeyObject;
  readonly packetBody: Buffer;
  readonly fingerprint: string;
  readonly created: number;
}

/** A packet with a new-format header and a one, two or five octet length. */
export function packet(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length;
  const header =
    length < 192
      ? [length]
      : length < 8384
        ? [192 + ((length - 192) >> 8), (length - 192) & 0xff]
        : [255, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Buffer.from([0xc0 | tag, ...header]), body]);
}

/** A version 4 Ed25519 key (algorithm 27), made `ageDays` ago. */
export function makeKey(ageDays = 100): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const created = NOW - ageDays * DAY;
  const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const packetBody = Buffer.concat([Buffer.from([4]), u32(created), Buffer.from([27]), point]);
  const fingerprint = createHash('sha1').update(keyHash(packetBody)).digest('hex').toUpperCase();
  return { secret: privateKey, packetBody, fingerprint, created };
}

export interface SignatureFields {
  readonly type?: number;
  readonly version?: 3 | 4;
  readonly hash?: number;
  readonly created?: number;
  readonly lifetime?: number;
  readonly keyLifetime?: number;
  readonly keyFlags?: number;
  /** More hashed subpackets: type octet (with the critical bit) and body. */
  readonly hashed?: readonly (readonly [number, Uint8Array])[];
  readonly unhashed?: readonly (readonly [number, Uint8Array])[];
  readonly noIssuer?: boolean;
}

const HASH_NAMES: Readonly<Record<number, string>> = { 1: 'md5', 2: 'sha1', 8: 'sha256', 10: 'sha512' };

/** The body of a signature packet over `data`. */
export function signatureBody(
  key: TestKey,
  data: readonly Uint8Array[],
  fields: SignatureFields = {},
): Buffer {
  const { type = 0, hash = 8, created = NOW - 60, version = 4 } = fields;
  const digestOf = (...tail: Uint8Array[]) =>
    createHash(HASH_NAMES[hash] as string)
      .update(Buffer.concat([...data, ...tail]))
      .digest();
  if (version === 3) {
    const hashedPart = Buffer.concat([Buffer.from([type]), u32(created)]);
    const digest = digestOf(hashedPart);
    return Buffer.concat([
      Buffer.from([3, 5]),
      hashedPart,
      Buffer.from(key.fingerprint.slice(-16), 'hex'),
      Buffer.from([27, hash]),
      digest.subarray(0, 2),
      sign(null, digest, key.secret),
    ]);
  }
  const subpackets = [
    [2, u32(created)] as const,
    ...(fields.lifetime === undefined ? [] : [[3, u32(fields.lifetime)] as const]),
    ...(fields.keyLifetime === undefined ? [] : [[9, u32(fields.keyLifetime)] as const]),
    ...(fields.keyFlags === undefined ? [] : [[27, Buffer.from([fields.keyFlags])] as const]),
    ...(fields.noIssuer ? [] : [[33, Buffer.from(`04${key.fingerprint}`, 'hex')] as const]),
    ...(fields.hashed ?? []),
  ];
  const hashedArea = area(subpackets);
  const head = Buffer.concat([Buffer.from([4, type, 27, hash]), u16(hashedArea.length), hashedArea]);
  const digest = digestOf(head, Buffer.from([4, 0xff]), u32(head.length));
  const unhashedArea = area(fields.unhashed ?? []);
  return Buffer.concat([
    head,
    u16(unhashedArea.length),
    unhashedArea,
    digest.subarray(0, 2),
    sign(null, digest, key.secret),
  ]);
}

export interface CertificateFields {
  readonly userId?: string;
  readonly self?: SignatureFields;
  readonly revoked?: boolean;
  readonly noSelfSignature?: boolean;
  readonly subkey?: {
    readonly key: TestKey;
    readonly binding?: SignatureFields;
    readonly revoked?: boolean;
    readonly noBackSignature?: boolean;
    readonly noBinding?: boolean;
  };
}

/** A transferable public key. Default flags: certify and sign. */
export function certificate(key: TestKey, fields: CertificateFields = {}): Buffer {
  const userId = Buffer.from(fields.userId ?? 'Test <test@example.com>');
  const primary = keyHash(key.packetBody);
  const userData = [primary, Buffer.from([0xb4]), u32(userId.length), userId];
  const parts = [packet(6, key.packetBody)];
  if (fields.revoked) parts.push(packet(2, signatureBody(key, [primary], { type: 0x20 })));
  parts.push(packet(13, userId));
  if (!fields.noSelfSignature)
    parts.push(
      packet(
        2,
        signatureBody(key, userData, { type: 0x13, created: key.created, keyFlags: 3, ...fields.self }),
      ),
    );
  const { subkey } = fields;
  if (subkey) {
    const data = [primary, keyHash(subkey.key.packetBody)];
    const back = signatureBody(subkey.key, data, { type: 0x19 });
    parts.push(packet(14, subkey.key.packetBody));
    const unhashed: [number, Uint8Array][] = subkey.noBackSignature ? [] : [[32, back]];
    if (!subkey.noBinding)
      parts.push(
        packet(2, signatureBody(key, data, { type: 0x18, keyFlags: 2, unhashed, ...subkey.binding })),
      );
    if (subkey.revoked) parts.push(packet(2, signatureBody(key, data, { type: 0x28 })));
  }
  return Buffer.concat(parts);
}

/** The three packets of an inline-signed message. */
export function messageParts(key: TestKey, content: Uint8Array, fields: SignatureFields = {}) {
  const { type = 0, hash = 8 } = fields;
  const keyId = Buffer.from(key.fingerprint.slice(-16), 'hex');
  return {
    onePass: packet(4, Buffer.from([3, type, hash, 27]), keyId, Buffer.from([1])),
    literal: literal(content),
    signature: packet(2, signatureBody(key, [content], fields)),
  };
}

export function literal(content: Uint8Array): Buffer {
  return packet(11, Buffer.from('b\0\0\0\0\0', 'latin1'), content);
}

export function message(key: TestKey, content: Uint8Array, fields: SignatureFields = {}): Buffer {
  const { onePass, literal: data, signature } = messageParts(key, content, fields);
  return Buffer.concat([onePass, data, signature]);
}

/** A ZIP-compressed data packet. */
export function compressed(...parts: readonly Uint8Array[]): Buffer {
  return packet(8, Buffer.from([1]), deflateRawSync(Buffer.concat(parts)));
}

export function days(count: number): number {
  return count * DAY;
}

export const NOW_SECONDS = NOW;

function keyHash(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x99]), u16(body.length), body]);
}

function area(subpackets: readonly (readonly [number, Uint8Array])[]): Buffer {
  return Buffer.concat(
    subpackets.map(([type, body]) => {
      const length = body.length + 1;
      const header = length < 192 ? [length] : [192 + ((length - 192) >> 8), (length - 192) & 0xff];
      return Buffer.concat([Buffer.from([...header, type]), body]);
    }),
  );
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
