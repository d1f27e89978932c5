import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { crc64 } from '../../store/layer/crc64.ts';

/** Bit by bit, as the definition of CRC-64/GO-ISO has it. */
function reference(bytes: Uint8Array): bigint {
  let sum = 0xffffffffffffffffn;
  for (const byte of bytes) {
    sum ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1n ? (sum >> 1n) ^ 0xd800000000000000n : sum >> 1n;
  }
  return sum ^ 0xffffffffffffffffn;
}

const bytes = Uint8Array.from({ length: 400 }, (_, at) => (at * 167 + (at >> 3) * 31 + 5) & 0xff);

test('gives the check value of CRC-64/GO-ISO', () => {
  assert.is(crc64(Buffer.from('123456789')), 0xb90956c775a41001n);
});

test('gives what the definition gives, at every length from one byte to several groups of words', () => {
  for (let length = 0; length <= bytes.length; length += 1)
    assert.is(crc64(bytes.subarray(0, length)), reference(bytes.subarray(0, length)), `${length} bytes`);
});

test('goes on from an earlier part, wherever it was cut', () => {
  const whole = reference(bytes);
  for (let cut = 0; cut <= bytes.length; cut += 7)
    assert.is(crc64(bytes.subarray(cut), crc64(bytes.subarray(0, cut))), whole, `cut at ${cut}`);
});

test.run();
