import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { constants, gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { suite } from 'uvu';
import { digestOf, parseDigest } from '../../image/digest.ts';
import {
  BlobDirectory,
  compressStream,
  detectAndDecompress,
  GzipStream,
  limited,
  publishFile,
  readAll,
  verified,
  verifyBytes,
} from '../../store/blob/index.ts';

const test = suite('store/blob');
let root: string;
test.before(() => {
  root = mkdtempSync(join(tmpdir(), 'slipway-blob-'));
});
test.after(() => rmSync(root, { recursive: true, force: true }));

function inPieces(bytes: Uint8Array, size: number): Readable {
  const source = Buffer.from(bytes);
  return Readable.from(
    (function* () {
      for (let at = 0; at < source.length; at += size) yield source.subarray(at, at + size);
    })(),
  );
}

const DATA = Buffer.alloc(1_000_003, 'some layer content, not random at all. ');
const DIGEST = digestOf(DATA);

test('verified: content that is not what was expected fails at its end (I5)', async () => {
  const wrong = parseDigest(`sha256:${'0'.repeat(64)}`);
  const cases = [
    [{ digest: DIGEST, sizeBytes: DATA.length }, undefined],
    [{ digest: digestOf(DATA, 'sha512') }, undefined],
    [{ digest: wrong }, 'digest-mismatch'],
    [{ digest: DIGEST, sizeBytes: DATA.length + 1 }, 'truncated'],
    [{ digest: DIGEST, sizeBytes: DATA.length - 1 }, 'too-large'],
  ] as const;
  for (const [expected, code] of cases) {
    const meter = verified(inPieces(DATA, 70_000), expected);
    if (code) {
      await rejects(buffer(meter), { code });
      throws(() => verifyBytes(DATA, expected), { code });
    } else {
      ok((await buffer(meter)).equals(DATA));
      equal(meter.info.sizeBytes, DATA.length);
      equal(verifyBytes(DATA, expected).digest, expected.digest);
    }
  }
});

test('verified: an endless body ends as soon as it is too long', async () => {
  let sent = 0;
  const endless = new Readable({
    read() {
      sent += 1;
      this.push(Buffer.alloc(1000));
    },
  });
  await rejects(buffer(verified(endless, { digest: DIGEST, sizeBytes: 5000 })), { code: 'too-large' });
  ok(endless.destroyed && sent < 2000);
});

test('limited and readAll cap', async () => {
  equal((await readAll(inPieces(DATA, 1000), DATA.length, 'x')).length, DATA.length);
  await rejects(readAll(inPieces(DATA, 1000), 5, 'the manifest'), {
    code: 'too-large',
    message: 'the manifest is larger than the limit of 5 bytes',
  });
  await rejects(buffer(limited(inPieces(DATA, 1000), 5, 'x')), { code: 'too-large' });
});

const checksum = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
const skippable = Buffer.concat([Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 4, 0, 0, 0]), Buffer.from('abcd')]);
const [a, b] = [zstdCompressSync('hello '), zstdCompressSync('world', checksum)];
const [g, h] = [gzipSync('hello '), gzipSync('world')];
const zeros = Buffer.alloc(100);

const DECOMPRESSION: readonly (readonly [string, Buffer, string])[] = [
  ['plain', Buffer.from('plain'), 'none:plain'],
  ['empty', Buffer.alloc(0), 'none:'],
  ['gzip members', Buffer.concat([g, h]), 'gzip:hello world'],
  ['gzip, zero padding', Buffer.concat([g, zeros]), 'gzip:hello '],
  ['gzip, garbage', Buffer.concat([g, Buffer.from('garbage')]), 'bad-compression'],
  ['gzip, cut', g.subarray(0, -3), 'truncated'],
  ['zstd frames', Buffer.concat([a, b]), 'zstd:hello world'],
  ['zstd skippable', Buffer.concat([skippable, a, skippable, b, skippable, skippable]), 'zstd:hello world'],
  ['zstd, zero padding', Buffer.concat([a, zeros]), 'zstd:hello '],
  ['zstd, garbage', Buffer.concat([a, Buffer.from('garbage!!')]), 'bad-compression'],
  ['zstd, cut', Buffer.concat([a, b.subarray(0, -1)]), 'truncated'],
  ['zstd, cut skippable', Buffer.concat([a, skippable.subarray(0, -1)]), 'truncated'],
];

test('decompression: members, frames, padding, cuts and garbage, in chunks of any size', async () => {
  for (const [name, bytes, expected] of DECOMPRESSION) {
    for (const size of [1, 7, 1 << 20]) {
      const { compression, stream } = await detectAndDecompress(inPieces(bytes, size));
      const found = await buffer(stream).then(
        (plain) => `${compression}:${plain}`,
        (error: { code: string }) => error.code,
      );
      equal(found, expected, `${name} in chunks of ${size}`);
    }
  }
});

test('decompression: a stream that is closed early takes its source with it (T11)', async () => {
  const source = inPieces(gzipSync(Buffer.alloc(50_000_000)), 1000);
  const { stream } = await detectAndDecompress(source);
  for await (const _ of stream) break;
  await new Promise((resolve) => setTimeout(resolve, 20));
  ok(stream.destroyed);
});

test('decompression: the compressed stream is read to its end, so that its digest is checked (T10)', async () => {
  for (const packed of [g, a]) {
    const bytes = Buffer.concat([packed, Buffer.alloc(3_000_000)]);
    const wrong = verified(inPieces(bytes, 65_536), { digest: DIGEST });
    let isChecked = false;
    wrong.on('error', (error: Error & { code?: string }) => {
      isChecked = error.code === 'digest-mismatch';
    });
    const { stream } = await detectAndDecompress(wrong);
    await buffer(stream).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    ok(isChecked);
    const right = verified(inPieces(bytes, 65_536), { digest: digestOf(bytes) });
    equal(String(await buffer((await detectAndDecompress(right)).stream)), 'hello ');
    await new Promise((resolve) => setTimeout(resolve, 50));
    equal(right.info.sizeBytes, bytes.length);
  }
});

test('decompression: xz and bzip2 by the programs of the system, crafted and cut data too (T11)', async () => {
  for (const program of ['xz', 'bzip2']) {
    let packed: Buffer;
    try {
      packed = execFileSync(program, ['-c'], { input: DATA });
    } catch {
      console.log(`SKIP ${program}: not installed`);
      continue;
    }
    const good = await detectAndDecompress(inPieces(packed, 100_000));
    ok((await buffer(good.stream)).equals(DATA));
    const cut = await detectAndDecompress(inPieces(packed.subarray(0, -5), 1000));
    await rejects(buffer(cut.stream), { code: 'bad-compression' });
    const closed = await detectAndDecompress(inPieces(packed, 10));
    closed.stream.destroy();
  }
});

for (const compressor of ['zlib', undefined] as const) {
  test(`gzip by ${compressor ?? 'what the machine has'}: the same bytes for any chunks and parallelism`, async () => {
    const random = Buffer.from(Array.from({ length: 2_700_001 }, (_, at) => (at * at * 31 + at) % 251));
    for (const data of [Buffer.alloc(0), Buffer.from('x'), random, Buffer.concat([DATA, random, DATA])]) {
      const outputs = new Set<string>();
      for (const [size, parallel] of [
        [1 << 20, 1],
        [65_536, 4],
        [262_144, 8],
        [99_991, 3],
      ] as const) {
        const packed = await buffer(
          inPieces(data, size).pipe(new GzipStream({ level: 3, parallel, compressor })),
        );
        ok(gunzipSync(packed).equals(data));
        outputs.add(createHash('sha256').update(packed).digest('hex'));
      }
      equal(outputs.size, 1);
    }
  });
}

test('gzip: chunks may be used again once they are taken, and a stream may be given up', async () => {
  const chunk = Buffer.alloc(1 << 20);
  const stream = new GzipStream();
  const packed = buffer(stream);
  for (const value of [1, 2, 3]) {
    chunk.fill(value);
    await new Promise<void>((resolve, reject) =>
      stream.write(chunk, (error) => (error ? reject(error) : resolve())),
    );
  }
  stream.end();
  const plain = gunzipSync(await packed);
  equal([0, 1, 2].map((block) => plain[block << 20]).join(), '1,2,3');
  const abandoned = new GzipStream();
  abandoned.write(Buffer.alloc(8 << 20));
  abandoned.destroy();
  await new Promise((resolve) => abandoned.on('close', resolve));
});

test('compressStream round trip', async () => {
  equal(compressStream('none'), undefined);
  for (const compression of ['gzip', 'zstd'] as const) {
    const packed = inPieces(DATA, 10_000).pipe(compressStream(compression, { level: 1 })!);
    const found = await detectAndDecompress(packed);
    equal(found.compression, compression);
    ok((await buffer(found.stream)).equals(DATA));
  }
});

test('publishFile: whole or not at all (I11)', async () => {
  const path = join(root, 'published');
  await publishFile(path, 'old');
  const failing = Readable.from(
    (function* () {
      yield Buffer.from('half');
      throw new Error('cut');
    })(),
  );
  await rejects(publishFile(path, failing), /cut/);
  equal(readFileSync(path, 'utf8'), 'old');
  deepEqual(readdirSync(root), ['published']);
  const stalled = new Readable({ read() {} });
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 30);
  await rejects(publishFile(path, stalled, { signal: controller.signal }), { name: 'AbortError' });
  await publishFile(path, Readable.from(['n', 'ew']), { mode: 0o600 });
  equal(readFileSync(path, 'utf8'), 'new');
  await rejects(publishFile(join(root, 'no/such'), 'x'), { code: 'system' });
  deepEqual(readdirSync(root), ['published']);
});

test('BlobDirectory: put, open, range, list, delete', async () => {
  const blobs = new BlobDirectory(join(root, 'blobs'));
  equal(await blobs.stat(DIGEST), undefined);
  await rejects(blobs.open(DIGEST), { code: 'not-found' });
  await rejects(blobs.put(inPieces(DATA.subarray(1), 1000), { digest: DIGEST }), { code: 'digest-mismatch' });
  equal(await blobs.has(DIGEST), false);
  await Promise.all([1, 2, 3, 4].map(() => blobs.put(inPieces(DATA, 1000), { digest: DIGEST })));
  deepEqual(await blobs.stat(DIGEST), { digest: DIGEST, sizeBytes: DATA.length });
  for (const [range, expected] of [
    [undefined, DATA],
    [{ start: 5, end: 9 }, DATA.subarray(5, 10)],
    [{ start: DATA.length - 2 }, DATA.subarray(-2)],
    [{ start: DATA.length + 5 }, Buffer.alloc(0)],
    [{ start: 3, end: 1e12 }, DATA.subarray(3)],
  ] as const) {
    const { stream, sizeBytes } = await blobs.open(DIGEST, range);
    equal(sizeBytes, expected.length);
    ok((await buffer(stream)).equals(expected));
  }
  const other = await blobs.put(Buffer.from('x'), { digest: digestOf('x', 'sha512') });
  writeFileSync(join(root, 'blobs/sha256/.slipway-tmp-1'), 'left by a killed process');
  const all: string[] = [];
  for await (const digest of blobs.list()) all.push(digest);
  deepEqual(all.sort(), [DIGEST, other.digest].sort());
  await blobs.sweep(0, Date.now() + 10_000);
  deepEqual(readdirSync(join(root, 'blobs/sha256')), [DIGEST.slice(7)]);
  equal(await blobs.delete(DIGEST), true);
  equal(await blobs.delete(DIGEST), false);
});

test.run();
