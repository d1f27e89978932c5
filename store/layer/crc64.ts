import { type SharedMemory, sharedMemory, startModule } from './wasm.ts';

/**
 * CRC-64 with the ISO 3309 polynomial as Go's hash/crc64 computes it, which tar-split records for every file. The
 * polynomial is x^64 + x^4 + x^3 + x + 1, and so are its squares sparse: a 64-bit word goes 1 or 4 words ahead with a
 * handful of shifts and no tables. Four words that follow each other are lanes of their own; they meet at the end.
 * The loop is WebAssembly since JavaScript has no fast 64-bit integers.
 */

const I32 = 0x7f;
const I64 = 0x7e;
const V128 = 0x7b;
const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const tee = (local: number) => [0x22, local];
const i32 = (value: number) => [0x41, ...signedLeb(value)];
const i64 = (value: number) => [0x42, ...signedLeb(value)];
const OP = { xor: 0x85, shl: 0x86, shrU: 0x88, addI32: 0x6a, subI32: 0x6b, ltU: 0x49, eqz: 0x45 };
const SIMD = {
  load: (offset: number) => [0xfd, 0, 0, offset],
  splat: [0xfd, 0x12],
  lane: (index: number) => [0xfd, 0x1d, index],
  replaceLane: (index: number) => [0xfd, 0x1e, index],
  xor: [0xfd, 0x51],
  shl: [0xfd, 0xcb, 1],
  shrU: [0xfd, 0xcd, 1],
};
const [PTR, LEN, CRC, VALUE, FRONT, BACK, MOVED, OVER] = [0, 1, 2, 3, 4, 5, 6, 7];

const signedLeb = (value: number): number[] =>
  value >= -64 && value < 64 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signedLeb(value >> 7)];

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

const loadWord = (offset: number) => [...get(PTR), 0x29, 0, offset]; // i64.load

/** One word, which `value` leaves: the bits that `fold` shifts out at the low end come back in at the high end first. */
const wordStep = (value: number[]) => [
  ...get(CRC),
  ...value,
  OP.xor,
  ...tee(VALUE),
  ...[63, 61, 60].flatMap((shift) => [...get(VALUE), ...i64(shift), OP.shl, OP.xor]),
  ...set(VALUE),
  ...fold,
  ...set(CRC),
];

/** Two words, and those four words on are to come: multiplication by the fourth power of the polynomial's lower part. */
const lanesStep = (lanes: number, offset: number) => [
  ...[...get(lanes), ...get(PTR), ...SIMD.load(offset), ...SIMD.xor, ...tee(MOVED)],
  ...[4, 12, 16].flatMap((shift) => [...get(MOVED), ...i32(shift), ...SIMD.shrU, ...SIMD.xor]),
  // What was shifted out, times the lower part.
  ...[...get(MOVED), ...i32(60), ...SIMD.shl],
  ...[52, 48].flatMap((shift) => [...get(MOVED), ...i32(shift), ...SIMD.shl, ...SIMD.xor]),
  ...[...tee(OVER), ...SIMD.xor],
  ...[1, 3, 4].flatMap((shift) => [...get(OVER), ...i32(shift), ...SIMD.shrU, ...SIMD.xor]),
  ...set(lanes),
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

const lessThan = (bytes: number) => [...get(LEN), ...i32(bytes), OP.ltU];

/** All but the last group of four words go through the lanes; each lane's sum is then a part of that group's word. */
const lanesPart = [
  ...[...i64(0), ...SIMD.splat, ...get(CRC), ...SIMD.replaceLane(0), ...set(FRONT)],
  ...whileLoop(lessThan(64), [...lanesStep(FRONT, 0), ...lanesStep(BACK, 16), ...advance(32)]),
  ...[...i64(0), ...set(CRC)],
  ...[FRONT, BACK].flatMap((lanes, half) =>
    [0, 1].flatMap((lane) =>
      wordStep([...get(lanes), ...SIMD.lane(lane), ...loadWord(half * 16 + lane * 8), OP.xor]),
    ),
  ),
  ...advance(32),
];

const invert = [...get(CRC), ...i64(-1), OP.xor];

const code = [
  ...[2, 1, I64, 4, V128], // locals
  ...invert,
  ...set(CRC),
  ...[0x02, 0x40, ...lessThan(64), 0x0d, 0, ...lanesPart, 0x0b], // block, br_if block, end
  ...whileLoop(lessThan(8), [...wordStep(loadWord(0)), ...advance(8)]),
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
