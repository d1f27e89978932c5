import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { zstdDecompressSync } from 'node:zlib';
import { suite } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { detectAndDecompress } from '../../../store/blob/index.ts';
import { zstdChunked } from '../../../store/layer/index.ts';
import { TAR_TYPE } from '../../../store/layer/tar-entry.ts';
import { parseTarSplitLine } from '../../../store/layer/tar-split-format.ts';
import { archive, directory, file, hardLink, streamOf, symlink } from './archive-builder.ts';

const test = suite('store/layer zstd:chunked');
const PREFIX = 'io.github.containers.zstd-chunked.';

const noise = (bytes: number) => {
  let state = 12345;
  return Buffer.from(
    Array.from({ length: bytes }, () => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return (state >> 16) & 0xff || 1;
    }),
  );
};
const big = noise(600_000);
const holes = Buffer.concat([
  noise(3000),
  Buffer.alloc(5000),
  noise(3000),
  Buffer.alloc(1023),
  noise(10),
  Buffer.alloc(2000),
]);
const LAYER = archive(
  directory('d/', { modifiedNs: 1_700_000_000_500_000_000n }),
  file('d/empty'),
  file('d/small', 'content', { xattrs: { 'user.a': 'b' }, uid: 3, gid: 4 }),
  file('d/big', big),
  file('d/holes', holes),
  symlink('l', 'd'),
  hardLink('h', 'd/small'),
  { name: 'null', type: TAR_TYPE.character, deviceMajor: 1, deviceMinor: 3 },
);

const plain = async (bytes: Buffer) => buffer((await detectAndDecompress(Readable.from([bytes]))).stream);
type Entry = Record<string, string & number>;

test('is the same tar to a plain decoder, and its table of contents leads to every file and chunk', async () => {
  const layer = zstdChunked(streamOf(LAYER, 50_000));
  const packed = await buffer(layer.stream);
  ok((await plain(packed)).equals(LAYER));
  const annotations = layer.annotations();
  const [at, length, plainLength, type] = annotations[`${PREFIX}manifest-position`]!.split(':').map(Number);
  const toc = packed.subarray(at, at! + length!);
  equal(digestOf(toc), annotations[`${PREFIX}manifest-checksum`]);
  const text = zstdDecompressSync(toc);
  deepEqual([text.length, type], [plainLength, 1]);
  const { version, entries, tarSplitDigest } = JSON.parse(text.toString()) as {
    version: number;
    entries: Entry[];
    tarSplitDigest: string;
  };
  equal(version, 1);
  deepEqual(
    entries
      .filter((entry) => entry.type !== 'chunk')
      .map((entry) => [entry.name, entry.type, entry.size ?? 0]),
    [
      ['d/', 'dir', 0],
      ['d/empty', 'reg', 0],
      ['d/small', 'reg', 7],
      ['d/big', 'reg', big.length],
      ['d/holes', 'reg', holes.length],
      ['l', 'symlink', 0],
      ['h', 'hardlink', 0],
      ['null', 'char', 0],
    ],
  );
  equal(entries[0]?.modtime, '2023-11-14T22:13:20.5Z');
  deepEqual(entries[2]?.xattrs, { 'user.a': 'Yg==' });
  for (const [name, content] of [
    ['d/small', Buffer.from('content')],
    ['d/big', big],
    ['d/holes', holes],
  ] as const) {
    const own = entries.filter((entry) => entry.name === name);
    const [first] = own;
    ok((await plain(packed.subarray(first!.offset, first!.endOffset))).equals(content));
    equal(first!.digest, digestOf(content));
    if (own.length === 1) continue;
    let end = 0;
    for (const chunk of own) {
      equal(chunk.chunkOffset ?? 0, end);
      const part = content.subarray(end, end + chunk.chunkSize!);
      equal(chunk.chunkDigest, digestOf(part));
      equal(
        chunk.chunkType === 'zeros',
        part.every((byte) => byte === 0),
      );
      end += chunk.chunkSize!;
    }
    equal(end, content.length);
  }
  ok(entries.filter((entry) => entry.name === 'd/big').length > 2);
  deepEqual(
    entries.filter((entry) => entry.chunkType === 'zeros').map((entry) => entry.chunkSize),
    [5000, 2000],
  );

  const [splitAt, splitLength, splitPlain] =
    annotations[`${PREFIX}tarsplit-position`]!.split(':').map(Number);
  const split = packed.subarray(splitAt, splitAt! + splitLength!);
  equal(digestOf(split), tarSplitDigest);
  const lines = zstdDecompressSync(split);
  equal(lines.length, splitPlain);
  const files = lines
    .toString()
    .trimEnd()
    .split('\n')
    .map(parseTarSplitLine)
    .filter((line) => line.kind === 'file');
  equal(files.length, 8);
  equal(packed.toString('latin1', packed.length - 8), 'GNUlInUx');
  equal(Number(packed.readBigUInt64LE(packed.length - 64)), at);
});

test('the same layer gives the same bytes; a damaged one is an error', async () => {
  const [a, b] = await Promise.all(
    [1000, 77_777].map((size) => buffer(zstdChunked(streamOf(LAYER, size)).stream)),
  );
  ok(a!.equals(b!));
  await rejects(buffer(zstdChunked(streamOf(LAYER.subarray(0, 2000))).stream), { code: 'truncated' });
});

test.run();
