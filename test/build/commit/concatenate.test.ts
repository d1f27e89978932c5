import { deepEqual, equal } from 'node:assert/strict';
import { Readable } from 'node:stream';
import { suite } from 'uvu';
import { concatenateTars } from '../../../build/commit/concatenate.ts';
import { tarOf } from '../../support/tar.ts';

const test = suite('one archive of several');

async function joined(tars: readonly Buffer[], chunkBytes: number): Promise<Buffer> {
  const streams = tars.map((tar) => {
    const chunks = Array.from({ length: Math.ceil(tar.length / chunkBytes) }, (_, at) =>
      tar.subarray(at * chunkBytes, (at + 1) * chunkBytes),
    );
    return Readable.from(chunks);
  });
  const pieces: Buffer[] = [];
  for await (const piece of concatenateTars(streams)) pieces.push(piece);
  return Buffer.concat(pieces);
}

test('only the last end remains, and files that end in zeros keep them', async () => {
  const zeros = '\0'.repeat(3000);
  const first = tarOf([{ name: 'a', body: zeros }]);
  const second = tarOf([{ name: 'b', body: 'x' }]);
  const expected = Buffer.concat([first.subarray(0, first.length - 1024), second]);
  for (const chunkBytes of [1, 511, 4096, 1 << 20])
    deepEqual(await joined([first, second], chunkBytes), expected, `chunks of ${chunkBytes}`);
  equal((await joined([first], 100)).equals(first), true);
});

test.run();
