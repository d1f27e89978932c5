import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'uvu';
import { ReplayWindow } from '../../../transport/docker/replay.ts';

const bytesOf = (from: number, to: number) =>
  Buffer.from(Array.from({ length: to - from }, (_, at) => (from + at) % 251));

test('the last bytes come again, whatever the chunks were', () => {
  for (const [limit, sizes] of [
    [10, [3, 4, 3, 1, 9, 10, 11, 25, 2]],
    [1000, [1, 300, 999, 1000, 1001, 5]],
    [1 << 20, [200_000, 200_000, 300_000, 700_000, 1_500_000, 7]],
  ] as const) {
    const start = 77;
    const window = new ReplayWindow(start, limit);
    let end: number = start;
    for (const size of sizes) {
      window.push(bytesOf(end, end + size));
      end += size;
      equal(window.end, end);
      const oldest = Math.max(start, end - limit);
      for (const offset of [oldest, Math.ceil((oldest + end) / 2), end - 1, end])
        deepEqual(Buffer.concat(window.from(offset) ?? []), bytesOf(offset, end));
      equal(window.from(oldest - 1), undefined);
      equal(window.from(end + 1), undefined);
    }
  }
});

test('what was asked for stays as it was when more bytes come', () => {
  const window = new ReplayWindow(0, 8);
  window.push(Buffer.from('abcdefgh'));
  const again = window.from(4) ?? [];
  window.push(Buffer.from('ijklmnop'));
  equal(Buffer.concat(again).toString(), 'efgh');
});

test.run();
