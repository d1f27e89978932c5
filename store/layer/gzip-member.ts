/** RFC 1952, 2.3.1: deflate, no flags, no time, an unknown system. */
const HEADER = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const LONGEST = 0xffff;

/**
 * A gzip member that holds a few bytes as they are, in one stored block (RFC 1951, 3.2.4).
 * @throws RangeError for more than fits in such a block
 */
export function storedMember(bytes: Uint8Array): Buffer {
  if (bytes.length > LONGEST) throw new RangeError(`${bytes.length} bytes do not fit in a stored block`);
  const member = Buffer.alloc(HEADER.length + 5 + bytes.length + 8);
  member.set(HEADER);
  let at = member.writeUInt8(1, HEADER.length);
  at = member.writeUInt16LE(bytes.length, at);
  at = member.writeUInt16LE(bytes.length ^ LONGEST, at);
  member.set(bytes, at);
  at = member.writeUInt32LE(crc32(bytes), at + bytes.length);
  member.writeUInt32LE(bytes.length, at);
  return member;
}

/** RFC 1952, 8, four bits at a time. */
function crc32(bytes: Uint8Array): number {
  const table = Array.from({ length: 16 }, (_, value) => {
    let crc = value;
    for (let bit = 0; bit < 4; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    return crc >>> 0;
  }) as number[];
  const step = (crc: number) => (table[crc & 15] as number) ^ (crc >>> 4);
  let crc = 0xffffffff;
  for (const byte of bytes) crc = step(step(crc ^ byte));
  return ~crc >>> 0;
}
