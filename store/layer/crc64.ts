import { type SharedMemory, sharedMemory, startModule } from './wasm.ts';

/**
 * CRC-64 with the ISO 3309 polynomial as Go's hash/crc64 computes it, which tar-split records for every file. The
 * polynomial is x^64 + x^4 + x^3 + x + 1, so a 64-bit word is reduced with a handful of shifts and no tables; the
 * loop is WebAssembly since JavaScript has no fast 64-bit integers.
 */

const I32 = 0x7f;
const I64 = 0x7e;
const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const tee = (local: number) => [0x22, local];
const i32 = (value: number) => [0x41, value];
const i64 = (value: number) => [0x42, value];
const OP = { xor: 0x85, shl: 0x86, shrU: 0x88, addI32: 0x6a, subI32: 0x6b, ltU: 0x49, eqz: 0x45 };
const [PTR, LEN, CRC, VALUE] = [0, 1, 2, 3];

/** value ^ value>>1 ^ value>>3 ^ value>>4: multiplication by the polynomial's lower part, bit-reflected. */
const fold = [
  ...get(VALUE),
  ...[1, 3, 4].flatMap((shift) => [...get(VALUE), ...i64(shift), OP.shrU, OP.xor]),
];

const advance = (bytes: number) => [
  ...get(PTR),
  ...i32(bytes),
  OP.addI32,
  ...set(PTR),
  ...get(LEN),
  ...i32(bytes),
  OP.subI32,
  ...set(LEN),
];

/** 8 bytes: the bits that `fold` shifts out at the low end come back in at the high end first. */
const wordStep = [
  ...get(CRC),
  ...get(PTR),
  ...[0x29, 0, 0], // i64.load
  OP.xor,
  ...tee(VALUE),
  ...[63, 61, 60].flatMap((shift) => [...get(VALUE), 0x42, shift, OP.shl, OP.xor]),
  ...set(VALUE),
  ...fold,
  ...set(CRC),
  ...advance(8),
];

const byteStep = [
  ...get(CRC),
  ...get(PTR),
  ...[0x31, 0, 0], // i64.load8_u
  OP.xor,
  ...i64(56),
  OP.shl,
  ...set(VALUE),
  ...fold,
  ...get(CRC),
  ...i64(8),
  OP.shrU,
  OP.xor,
  ...set(CRC),
  ...advance(1),
];

const whileLoop = (leave: number[], body: number[]) => [
  ...[0x02, 0x40, 0x03, 0x40], // block, loop
  ...leave,
  ...[0x0d, 1], // br_if block
  ...body,
  ...[0x0c, 0, 0x0b, 0x0b], // br loop, end, end
];

const invert = [...get(CRC), ...i64(0x7f), OP.xor]; // 0x7f is -1 as a signed LEB128

const code = [
  ...[1, 1, I64], // one local, of type i64
  ...invert,
  ...set(CRC),
  ...whileLoop([...get(LEN), ...i32(8), OP.ltU], wordStep),
  ...whileLoop([...get(LEN), OP.eqz], byteStep),
  ...invert,
  0x0b,
];

const leb = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...leb(Math.floor(value / 128))];
const section = (id: number, bytes: number[]) => [id, ...leb(bytes.length), ...bytes];

/** A function `(pointer, length, crc) => crc` over the bytes of a shared WebAssembly memory of `pages` pages. */
export function crc64Over(
  memory: SharedMemory,
  pages: number,
): (pointer: number, length: number, crc: bigint) => bigint {
  const bytes = new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, I32, I32, I64, 1, I64]),
    ...section(2, [1, 1, 0x6d, 1, 0x6d, 2, 3, ...leb(pages), ...leb(pages)]),
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x63, 0, 0]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ]);
  const crc = startModule(bytes, memory).c as (pointer: number, length: number, crc: bigint) => bigint;
  return (pointer, length, previous) => BigInt.asUintN(64, crc(pointer, length, previous));
}

let shared: { bytes: Uint8Array; run: ReturnType<typeof crc64Over> } | undefined;

/** The checksum of bytes anywhere, copied through a small memory; `crc` goes on from an earlier part. */
export function crc64(bytes: Uint8Array, crc = 0n): bigint {
  if (!shared) {
    const memory = sharedMemory(1);
    shared = { bytes: new Uint8Array(memory.buffer), run: crc64Over(memory, 1) };
  }
  let sum = crc;
  for (let at = 0; at < bytes.length; at += 65536) {
    const part = bytes.subarray(at, at + 65536);
    shared.bytes.set(part);
    sum = shared.run(0, part.length, sum);
  }
  return sum;
}
