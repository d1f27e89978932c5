import { deepEqual, equal, rejects } from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { suite } from 'uvu';
import { packLayer } from '../../../store/layer/index.ts';
import { HashedBlocks } from '../../../store/layer/pack-blocks.ts';
import { Scratch } from './scratch.ts';

const test = suite('store/layer packing in blocks');
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const openFiles = () => readdirSync('/proc/self/fd').length;

function fill(root: string): void {
  writeFileSync(join(root, 'large'), randomBytes(18_000_001));
  writeFileSync(join(root, 'one block'), randomBytes(4 << 20));
  mkdirSync(join(root, 'many'));
  for (let at = 0; at < 700; at += 1) writeFileSync(join(root, 'many', `${at}`), randomBytes(at * 10));
}

test('gives the same digest, size and tar-split whether the archive is wanted or not', async () => {
  using scratch = new Scratch();
  fill(scratch.root);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const output = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      sizeBytes += chunk.length;
      done();
    },
  });
  const written = await packLayer(scratch.root, output, { whiteouts: 'none' });
  const archived = `sha256:${hash.digest('hex')}`;
  equal(written.diffId, archived);
  const alone = () => packLayer(scratch.root, undefined, { whiteouts: 'none' });
  for (const hashed of await Promise.all([alone(), alone()])) {
    equal(hashed.diffId, archived);
    equal(hashed.sizeBytes, sizeBytes);
    deepEqual(hashed.tarSplit, written.tarSplit);
  }
});

test('leaves no file open when it is given up, or when a file becomes shorter meanwhile', async () => {
  using scratch = new Scratch();
  fill(scratch.root);
  const before = openFiles();
  const controller = new AbortController();
  const given = packLayer(scratch.root, undefined, { whiteouts: 'none', signal: controller.signal });
  controller.abort(new Error('enough'));
  await rejects(given, /enough/);
  const cut = packLayer(scratch.root, undefined, { whiteouts: 'none' });
  truncateSync(join(scratch.root, 'large'), 5);
  await rejects(cut, { code: 'bad-layer' });
  equal(openFiles(), before);
});

test('takes headers that are larger than a block', async () => {
  const blocks = new HashedBlocks(Buffer.alloc(8 << 20));
  const whole = randomBytes(14_000_000);
  for (let at = 0; at < whole.length; at += 6_800_000) {
    if (blocks.isFull) await blocks.turn();
    blocks.write(whole.subarray(at, at + 1000));
    blocks.write(whole.subarray(at + 1000, at + 6_800_000));
  }
  deepEqual(await blocks.digest(), { diffId: sha256(whole), sizeBytes: whole.length });
});

test.run();
