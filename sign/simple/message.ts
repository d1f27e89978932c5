import { inflateRawSync, inflateSync } from 'node:zlib';
import { SIGNATURE_LIMIT_BYTES } from '../../image/signature.ts';
import { invalid } from '../error.ts';
import { ByteReader, type Packet, readPackets, TAG } from './packets.ts';
import { parseSignature, SIGNATURE_TYPE, type SignaturePacket } from './signature-packet.ts';

/** A message with one signature over its content. Unverified. */
export interface SignedMessage {
  readonly signature: SignaturePacket;
  readonly content: Uint8Array;
}

/**
 * Reads an inline-signed message, and nothing else that OpenPGP allows: one optional compression around exactly
 * `one-pass signature, literal, signature` or `signature, literal`, binary, no packet before, between or behind.
 * Clear-signed text, armor, detached signatures, encryption and nesting are refused (SECURITY S01 to S04), so what is
 * returned is the very content the signature covers.
 * @throws SignError `invalid-signature`
 */
export function readSignedMessage(bytes: Uint8Array): SignedMessage {
  if (bytes.length === 0) throw invalid('empty signature');
  if (bytes.length > SIGNATURE_LIMIT_BYTES)
    throw invalid(`signature exceeds the limit of ${SIGNATURE_LIMIT_BYTES} bytes`);
  let packets = readPackets(bytes, 16);
  const [first] = packets;
  if (packets.length === 1 && first?.tag === TAG.compressed)
    packets = readPackets(decompress(first.body), 16);
  const signatures = packets.filter(({ tag }) => tag === TAG.signature);
  const shape = packets.map(({ tag }) => tag).join(' ');
  const signature = signatures[0];
  if (signatures.length !== 1 || !signature)
    throw invalid(`Unexpected GPG signature count ${signatures.length}`);
  if (shape === `${TAG.onePass} ${TAG.literal} ${TAG.signature}`) {
    const parsed = parseBinarySignature(signature);
    checkOnePass(packets[0] as Packet, parsed);
    return { signature: parsed, content: readLiteral(packets[1] as Packet) };
  }
  if (shape === `${TAG.signature} ${TAG.literal}`)
    return { signature: parseBinarySignature(signature), content: readLiteral(packets[1] as Packet) };
  throw invalid(`not a plain signed OpenPGP message (packets ${shape})`);
}

function decompress(body: Uint8Array): Uint8Array {
  const data = body.subarray(1);
  if (body[0] === 0) return data;
  const inflate = INFLATERS.get(body[0] ?? -1);
  if (!inflate) throw invalid(`OpenPGP compression algorithm ${body[0]} is not supported`);
  let inflated: Inflated;
  try {
    inflated = inflate(data, {
      maxOutputLength: SIGNATURE_LIMIT_BYTES,
      info: true,
    }) as unknown as Inflated;
  } catch (cause) {
    throw invalid('compressed OpenPGP data is broken or too large', cause);
  }
  if (inflated.engine.bytesWritten !== data.length) throw invalid('data behind the compressed OpenPGP data');
  return inflated.buffer;
}

const INFLATERS = new Map([
  [1, inflateRawSync],
  [2, inflateSync],
]);

/** What zlib returns with `info`, which @types/node leaves out. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

function parseBinarySignature(packet: Packet): SignaturePacket {
  const signature = parseSignature(packet.body);
  if (signature.type !== SIGNATURE_TYPE.binary)
    throw invalid(`OpenPGP signature of type ${signature.type} is not one over binary data`);
  return signature;
}

/** The one-pass packet announces what the signature must then be. */
function checkOnePass(packet: Packet, signature: SignaturePacket): void {
  const reader = new ByteReader(packet.body);
  const version = reader.byte();
  const same =
    version === (signature.version === 6 ? 6 : 3) &&
    reader.byte() === signature.type &&
    reader.byte() === signature.hash &&
    reader.byte() === signature.algorithm;
  if (!same) throw invalid('OpenPGP one-pass packet and signature disagree');
  if (version === 6) {
    if (!Buffer.from(reader.take(reader.byte())).equals(signature.salt))
      throw invalid('OpenPGP one-pass packet and signature disagree');
    reader.take(32);
  } else reader.take(8);
  if (reader.byte() !== 1 || !reader.done)
    throw invalid('OpenPGP one-pass packet announces several signatures');
}

function readLiteral(packet: Packet): Uint8Array {
  const reader = new ByteReader(packet.body);
  const format = String.fromCharCode(reader.byte());
  if (!'btu'.includes(format)) throw invalid('OpenPGP literal data of an unknown format');
  reader.take(reader.byte());
  reader.take(4);
  return reader.rest();
}
