import { equal } from 'node:assert/strict';
import { suite } from 'uvu';
import { byteSize } from '../../image/byte-size.ts';

const test = suite('sizes with a unit');

for (const [text, bytes] of [
  ['5', 5],
  ['5b', 5],
  ['1k', 1024],
  ['1KB', 1024],
  ['1 KiB', 1024],
  ['1.5m', 1.5 * 1024 ** 2],
  ['.5g', 512 * 1024 ** 2],
  ['1.k', 1024],
  ['1e3', 1000],
  ['+2m', 2 * 1024 ** 2],
  ['1p', 1024 ** 5],
  ['5 ', 5],
  ['0', 0],
  [' 5', undefined],
  ['-5', undefined],
  ['5ib', undefined],
  ['5  m', undefined],
  ['5kbb', undefined],
  ['5ki', undefined],
  ['5e', undefined],
  ['m', undefined],
  ['', undefined],
  ['inf', undefined],
  ['1e300', undefined],
] as const)
  test(`${JSON.stringify(text)} is ${bytes}`, () => equal(byteSize(text), bytes));

test('a long near-miss is refused', () => equal(byteSize(`${'1'.repeat(200_000)}x`), undefined));

test.run();
