import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gunzipSync, gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { decompressed } from '../../store/blob/compression.ts';
import { GzipStream } from '../../store/blob/gzip.ts';
import { BLOCK_BYTES, dispose, singleUse } from '../../store/kernel/passing-bytes.ts';

const test = suite('passing bytes');

test('only single-use chunks are disposed of, and once', () => {
  const kept = Buffer.alloc(100_000, 1);
  dispose(kept);
  assert.equal(kept.length, 100_000);
  const passing = singleUse(Buffer.alloc(100_000, 1));
  assert.equal(passing.length, 100_000);
  dispose(passing);
  assert.equal(passing.length, 0);
  dispose(passing);
});

test('a chunk that is a part of its memory stays: the rest is somebody else’s', () => {
  const whole = Buffer.alloc(100_000, 1);
  const part = singleUse(whole.subarray(1000));
  dispose(part);
  assert.equal(part.length, 99_000);
  assert.equal(whole[99_999], 1);
});

test('what is written to a compressor belongs to its writer unless it is single-use', async () => {
  for (const compressor of ['libdeflate', 'zlib'] as const)
    for (const sizeBytes of [700_000, 1 << 18, BLOCK_BYTES]) {
      const mine = randomBytes(sizeBytes);
      const passing = [0, 1, 2].map(() => singleUse(Buffer.from(mine)));
      const gzip = new GzipStream({ compressor });
      gzip.write(mine);
      for (const chunk of passing) gzip.write(chunk);
      gzip.end(mine.subarray(0, 100));
      const whole = Buffer.concat([mine, mine, mine, mine, mine.subarray(0, 100)]);
      assert.ok(gunzipSync(await buffer(gzip)).equals(whole), `${compressor}, ${sizeBytes} bytes`);
      assert.equal(mine.length, sizeBytes);
      assert.deepEqual(
        passing.map(({ length }) => length),
        [0, 0, 0],
      );
    }
});

test('a reader that keeps what a decompressor gives has all of it', async () => {
  const plain = randomBytes(1_000_000);
  const chunks: Buffer[] = [];
  for await (const chunk of decompressed(Readable.from([gzipSync(plain)]), 'gzip'))
    chunks.push(chunk as Buffer);
  assert.deepEqual(Buffer.concat(chunks), plain);
});

test.run();
