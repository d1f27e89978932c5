import { invalid } from '../error.ts';

/** One OpenPGP packet, RFC 9580 section 4. */
export interface Packet {
  readonly tag: number;
  readonly body: Uint8Array;
}

export const TAG = {
  signature: 2,
  onePass: 4,
  secretKey: 5,
  publicKey: 6,
  secretSubkey: 7,
  compressed: 8,
  literal: 11,
  trust: 12,
  userId: 13,
  publicSubkey: 14,
  userAttribute: 17,
} as const;

/** Tags whose body may come in partial lengths. */
const STREAMED: readonly number[] = [TAG.compressed, TAG.literal, 9, 18, 20];

/**
 * Splits bytes into packets; every byte belongs to one. Both header formats, partial lengths for data packets, and
 * the old indeterminate length for the last packet are understood.
 * @throws SignError `invalid-signature`
 */
export function readPackets(bytes: Uint8Array, limitCount = 10_000): Packet[] {
  const reader = new ByteReader(bytes);
  const packets: Packet[] = [];
  while (!reader.done) {
    if (packets.length >= limitCount) throw invalid(`OpenPGP data has more than ${limitCount} packets`);
    packets.push(readPacket(reader));
  }
  return packets;
}

function readPacket(reader: ByteReader): Packet {
  const header = reader.byte();
  if ((header & 0x80) === 0) throw invalid('not OpenPGP data');
  if ((header & 0x40) === 0) {
    const tag = (header >> 2) & 0x0f;
    const lengthType = header & 3;
    if (lengthType === 3) {
      if (!STREAMED.includes(tag)) throw invalid(`OpenPGP packet ${tag} has no length`);
      return { tag, body: reader.rest() };
    }
    return { tag, body: reader.take(reader.number(1 << lengthType)) };
  }
  const tag = header & 0x3f;
  return { tag, body: readNewFormatBody(reader, tag) };
}

function readNewFormatBody(reader: ByteReader, tag: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (;;) {
    const first = reader.byte();
    if (first < 192) parts.push(reader.take(first));
    else if (first < 224) parts.push(reader.take(((first - 192) << 8) + reader.byte() + 192));
    else if (first === 255) parts.push(reader.take(reader.number(4)));
    else {
      if (!STREAMED.includes(tag)) throw invalid(`OpenPGP packet ${tag} has partial lengths`);
      parts.push(reader.take(2 ** (first & 0x1f)));
      continue;
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }
}

/** Reads big-endian fields and never past the end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.take(1)[0] as number;
  }

  /** An unsigned number of 1 to 6 bytes. */
  number(length: number): number {
    return this.take(length).reduce((sum, byte) => sum * 256 + byte, 0);
  }

  take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw invalid('OpenPGP data ends too early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  rest(): Uint8Array {
    return this.take(this.#bytes.length - this.#at);
  }

  /** A multiprecision integer without leading zeros, RFC 9580 section 3.2. */
  mpi(): Uint8Array {
    const bits = this.number(2);
    if (bits > 16_384) throw invalid(`OpenPGP number of ${bits} bits`);
    const bytes = this.take((bits + 7) >> 3);
    const start = bytes.findIndex((byte) => byte !== 0);
    return start < 0 ? new Uint8Array(0) : bytes.subarray(start);
  }
}
