import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict';
import { mkdirSync, rmSync, statSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { suite } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { AT_FDCWD } from '../../../store/kernel/at.ts';
import { statAt } from '../../../store/kernel/stat.ts';
import { applyLayer, assembleLayer, packLayer } from '../../../store/layer/index.ts';
import { TAR_TYPE } from '../../../store/layer/tar-entry.ts';
import { TarReader } from '../../../store/layer/tar-reader.ts';
import {
  archive,
  directory,
  END,
  entryBytes,
  file,
  hardLink,
  seal,
  symlink,
  utf8,
} from './archive-builder.ts';
import { FORMATS, isRoot, Scratch, tree } from './scratch.ts';

const test = suite('store/layer format');

const reassembled = async (scratch: Scratch, tarSplit: Uint8Array | string) =>
  buffer(assembleLayer(tarSplit, scratch.root));

/** Applies, and checks that the stream can be had back byte by byte. */
async function applied(scratch: Scratch, bytes: Buffer, chunkBytes?: number): Promise<void> {
  const result = await scratch.apply(bytes, {}, chunkBytes);
  equal(result.diffId, digestOf(bytes));
  equal(result.sizeBytes, bytes.length);
  ok((await reassembled(scratch, result.tarSplit)).equals(bytes), 'reassembled');
}

test('T07: order and type changes', async () => {
  const cases: readonly (readonly [string, Buffer, readonly string[]])[] = [
    ['whiteout after the file keeps it', archive(file('f', 'x'), file('.wh.f')), ['f 644 x']],
    ['file after its whiteout', archive(file('.wh.f'), file('f', 'x')), ['f 644 x']],
    [
      'opaque last',
      archive(directory('d'), file('d/f', 'x'), file('d/.wh..wh..opq')),
      ['d/ 755', 'd/f 644 x'],
    ],
    [
      'opaque first',
      archive(directory('d'), file('d/.wh..wh..opq'), file('d/f', 'x')),
      ['d/ 755', 'd/f 644 x'],
    ],
    ['last of two wins', archive(file('f', 'one'), file('f', 'two')), ['f 644 two']],
    [
      'dir to file to link',
      archive(directory('e'), file('e/x', 'y'), file('e', '1'), symlink('e', 'f')),
      ['e -> f'],
    ],
    ['file to dir', archive(file('e', '1'), directory('e'), file('e/x', '2')), ['e/ 755', 'e/x 644 2']],
    [
      'dir merges',
      archive(directory('d'), file('d/a'), directory('d', { mode: 0o700 })),
      ['d/ 700', 'd/a 644 '],
    ],
    ['link to itself', archive(file('f', 'x'), hardLink('f', './f')), ['f 644 x']],
    ['names', archive(file('./a//b/../c', 'x')), ['a/ 755', 'a/c 644 x']],
  ];
  for (const whiteouts of FORMATS) {
    for (const [name, bytes, expected] of cases) {
      using scratch = new Scratch();
      const { tarSplit } = await scratch.apply(bytes, { whiteouts });
      deepEqual(tree(scratch.root), expected, `${whiteouts}: ${name}`);
      ok((await reassembled(scratch, tarSplit)).equals(bytes), `${whiteouts}: ${name}, reassembled`);
    }
    using scratch = new Scratch();
    await rejects(scratch.apply(archive(hardLink('b', 'a'), file('a', 'x')), { whiteouts }), {
      code: 'bad-layer',
    });
  }
});

test('T07: whiteouts against a lower layer, in a full tree', async () => {
  using scratch = new Scratch();
  const names = ['a/old1', 'a/sub/old2', 'b/old', 'c', 'd/keep'];
  for (const name of names) {
    mkdirSync(scratch.path(name), { recursive: true });
    rmSync(scratch.path(name), { recursive: true });
    writeFileSync(scratch.path(name), 'old');
  }
  await scratch.apply(
    archive(
      file('a/sub/new', 'new'),
      file('a/.wh..wh..opq'),
      file('.wh.b'),
      file('.wh.c'),
      file('.wh.absent'),
      file('absent/.wh.x'),
    ),
    { whiteouts: 'delete' },
  );
  const left = tree(scratch.root).filter((line) => !line.includes('/ '));
  deepEqual(left, ['a/sub/new 644 new', 'd/keep 644 old']);
});

test('T08: links into the AUFS link directory', async () => {
  const link = '.wh..wh.plnk/101.202';
  for (const whiteouts of FORMATS) {
    using scratch = new Scratch();
    const bytes = archive(
      directory('.wh..wh.plnk'),
      file(link, 'shared'),
      hardLink('a', link),
      file('.wh..wh.aufs', 'x'),
    );
    const result = await scratch.apply(bytes, { whiteouts });
    deepEqual(tree(scratch.root), ['a 644 shared']);
    ok((await reassembled(scratch, result.tarSplit)).equals(bytes));
    await rejects(scratch.apply(archive(hardLink('b', '/.wh..wh.plnk/none')), { whiteouts }), {
      code: 'bad-layer',
      message: 'cannot unpack "b": invalid aufs hardlink',
    });
  }
});

test('T09 T10: what follows the end marker is hashed and kept; the stream is read to its end', async () => {
  for (const rest of [Buffer.alloc(0), Buffer.alloc(10_240), Buffer.from('garbage after the end')]) {
    using scratch = new Scratch();
    await applied(scratch, Buffer.concat([archive(file('a', 'x')), rest]));
  }
  using scratch = new Scratch();
  const start = archive(file('a', 'x'));
  const zeros = Buffer.alloc(1 << 20);
  const bomb = Readable.from(
    (function* () {
      yield start;
      for (let round = 0; round < 200; round += 1) yield zeros;
    })(),
  );
  const { tarSplit, sizeBytes } = await applyLayer(scratch.root, bomb, { whiteouts: 'overlay' });
  equal(sizeBytes, start.length + 200 * zeros.length);
  ok(tarSplit.length < 4_000_000);
});

test('truncated at every block, bad checksums, empty layers', async () => {
  const whole = archive(directory('d'), file('d/f', 'x'.repeat(700)), symlink('l', 'd'.repeat(200)));
  const contentEnd = whole.length - END.length;
  for (let length = 0; length <= whole.length; length += 256) {
    using scratch = new Scratch();
    const outcome = await scratch.apply(whole.subarray(0, length)).then(
      () => 'whole',
      (error: { code: string }) => error.code,
    );
    const isBorder =
      [0, 512, 2048, contentEnd].includes(length) || (length > contentEnd && length % 512 === 0);
    equal(outcome, isBorder ? 'whole' : 'truncated', `cut at ${length}`);
  }
  using scratch = new Scratch();
  const broken = archive(file('f', 'x'));
  broken[3] = 0x41;
  await rejects(scratch.apply(broken), {
    code: 'bad-layer',
    message: 'a header of the archive has a wrong checksum',
  });
  await applied(scratch, END);
  await applied(scratch, Buffer.alloc(0));
  await rejects(scratch.apply(Buffer.concat([Buffer.alloc(512), entryBytes(file('x'))])), {
    code: 'bad-layer',
  });
});

function paxHeader(records: Readonly<Record<string, string>>, type: string = TAR_TYPE.pax): Buffer {
  const body = Object.entries(records)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      const length = [1, 2, 3, 4].find((digits) => String(rest.length + digits).length === digits)!;
      return `${rest.length + length}${rest}`;
    })
    .join('');
  return entryBytes({ name: 'PaxHeaders.0/x', type, content: Buffer.from(body, 'latin1') });
}

/** What a reader finds: name, type, size and content of each entry, or the code of its error. */
function listing(bytes: Buffer): string {
  let at = 0;
  const reader = new TarReader({
    next: (limit) => {
      const view = bytes.subarray(at, at + Math.min(limit, 333));
      at += view.length;
      return view;
    },
  });
  const found: string[] = [];
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      let content = '';
      for (let view = reader.content(); view.length > 0; view = reader.content())
        content += view.toString('latin1');
      found.push(
        [entry.name, entry.type, entry.sizeBytes, content, entry.linkName].filter(Boolean).join(' '),
      );
    }
  } catch (error) {
    found.push(`!${(error as { code: string }).code}`);
  }
  return found.join(', ');
}

test('T12 T23: extended headers, as Go reads them or refused', () => {
  const withHeader = (change: (block: Buffer) => void, content = '') => {
    const bytes = entryBytes(file('f', content));
    change(bytes);
    return Buffer.concat([seal(bytes), END]);
  };
  const long = 'n'.repeat(150);
  const gnuName = entryBytes({ name: '././@LongLink', type: TAR_TYPE.gnuLongName, content: `${long}\0` });
  const gnuLink = entryBytes({ name: '././@LongLink', type: TAR_TYPE.gnuLongLink, content: `${long}\0` });
  const cases: readonly (readonly [string, Buffer, string])[] = [
    ['PAX path', archive(paxHeader({ path: 'p' }), file('f', 'x')), 'p 0 1 x'],
    ['last of equal keys', archive(paxHeader({ path: 'p' }), file('f', 'x')), 'p 0 1 x'],
    ['PAX size', archive(paxHeader({ size: '2' }), file('f', 'xy')), 'f 0 2 xy'],
    [
      'PAX size does not touch a GNU header',
      archive(paxHeader({ size: '2' }), gnuName, file('f', 'xy')),
      `${long} 0 2 xy`,
    ],
    ['negative PAX size', archive(paxHeader({ size: '-1' }), file('f', 'xy')), '!bad-layer'],
    ['huge PAX size', archive(paxHeader({ size: '9007199254740993' }), file('f')), '!bad-layer'],
    ['numeric path', archive(paxHeader({ path: '12345' }), file('f')), '12345 0'],
    ['NUL in path', archive(paxHeader({ path: 'a\0b' }), file('f')), '!bad-layer'],
    [
      'bad record length',
      archive(entryBytes({ type: 'x', content: '99 path=p\n' }), file('f')),
      '!bad-layer',
    ],
    ['record without =', archive(entryBytes({ type: 'x', content: '7 path\n' }), file('f')), '!bad-layer'],
    ['global header is passed over', archive(paxHeader({ path: 'g' }, 'g'), file('f', 'x')), 'f 0 1 x'],
    ['GNU long name and link', archive(gnuName, gnuLink, symlink('f', 't')), `${long} 2 ${long}`],
    ['extended header at the end', Buffer.concat([paxHeader({ path: 'p' }), END]), '!truncated'],
    ['base-256 size', withHeader((b) => b.fill(0, 124, 136).writeUInt8(0x80, 124)), 'f 0'],
    [
      'base-256 size of 2^53',
      withHeader((b) => b.fill(0, 124, 136).writeUIntBE(0x80, 124, 1) && b.writeUInt8(0x20, 129)),
      '!bad-layer',
    ],
    ['base-256 negative size', withHeader((b) => b.fill(0xff, 124, 136)), '!bad-layer'],
    ['bad octal size', withHeader((b) => b.write('9z', 124)), '!bad-layer'],
    ['a directory with a size has no content', withHeader((b) => b.write('5', 156)), 'f 5'],
    ['old type', withHeader((b) => b.fill(0, 156, 157)), 'f 0'],
    ['sparse', withHeader((b) => b.write('S', 156)), '!unsupported'],
    ['PAX sparse', archive(paxHeader({ 'GNU.sparse.major': '1' }), file('f')), '!unsupported'],
    ['unknown type', withHeader((b) => b.write('Z', 156)), '!bad-layer'],
  ];
  for (const [name, bytes, expected] of cases) equal(listing(bytes), expected, name);
});

test('T23: odd names, times and sizes survive exactly', async () => {
  using scratch = new Scratch();
  const bytes = archive(
    file('bytes \xff\xfe\n\\"', 'x'),
    file(utf8('Ünïcödé 名'), 'y'),
    file('negative time', '', { modifiedNs: -1_500_000_000n }),
    file('nanoseconds', '', { modifiedNs: 1_700_000_000_123_456_789n }),
    file('n'.repeat(200), 'long'),
    file(`${'d'.repeat(120)}/${'e'.repeat(120)}`, 'split'),
    symlink('to long', 't'.repeat(150)),
  );
  await applied(scratch, bytes);
  equal(statAt(AT_FDCWD, scratch.path('negative time')).modifiedNs, -1_500_000_000n);
  equal(statAt(AT_FDCWD, scratch.path('nanoseconds')).modifiedNs, 1_700_000_000_123_456_789n);
  ok(tree(scratch.root).some((line) => line.startsWith('bytes \xff\xfe\n\\"')));
});

test('T20: bombs end at the budget', async () => {
  using scratch = new Scratch();
  const files = archive(...Array.from({ length: 50 }, (_, at) => file(`f${at}`, 'x'.repeat(1000))));
  await rejects(scratch.apply(files, { limitEntries: 49 }), { code: 'too-large' });
  await rejects(scratch.apply(files, { limitBytes: 49_999 }), { code: 'too-large' });
  await scratch.apply(files, { limitEntries: 50, limitBytes: 50_000 });
});

test('T18: a file that shrinks, or is swapped for a link, while it is packed is an error', async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.path('big'), Buffer.alloc(8 << 20, 'x'));
  const slow = new (await import('node:stream')).Writable({
    highWaterMark: 1,
    write(_chunk, _encoding, done) {
      truncateSync(scratch.path('big'), 100);
      done();
    },
  });
  await rejects(packLayer(scratch.root, slow, { whiteouts: 'none' }), {
    code: 'bad-layer',
    message: 'cannot pack "big": it changed while it was read',
  });
  using other = new Scratch();
  const { tarSplit } = await other.apply(archive(file('f', 'content')));
  rmSync(other.path('f'));
  symlinkSync('../victim/hello', other.path('f'));
  await rejects(buffer(assembleLayer(tarSplit, other.root)), { code: 'bad-layer' });
  rmSync(other.path('f'));
  writeFileSync(other.path('f'), 'CONTENT');
  await rejects(buffer(assembleLayer(tarSplit, other.root)), { code: 'bad-layer' });
});

test('damaged tar-split data', async () => {
  using scratch = new Scratch();
  const { gzipSync } = await import('node:zlib');
  for (const text of [
    '{"type":3}',
    'no json',
    '{"type":1,"name":"../victim/hello","size":17,"payload":"AAAAAAAAAAA="}',
  ]) {
    await rejects(buffer(assembleLayer(gzipSync(text), scratch.root)), /tar-split|outside/);
  }
  await rejects(buffer(assembleLayer(Buffer.from('no gzip'), scratch.root)), { code: 'bad-layer' });
});

test('an aborted apply and pack end with the reason', async () => {
  using scratch = new Scratch();
  const controller = new AbortController();
  const stalled = new Readable({ read() {} });
  stalled.push(archive(file('f', 'x')).subarray(0, 600));
  setTimeout(() => controller.abort(new Error('enough')), 50);
  const options = { whiteouts: 'overlay', signal: controller.signal } as const;
  await rejects(applyLayer(scratch.root, stalled, options), /enough/);
  ok(stalled.destroyed);
  await rejects(packLayer(scratch.root, undefined, options), /enough/);
  const failing = Readable.from(
    (function* () {
      yield archive(file('f', 'x')).subarray(0, 600);
      throw new Error('the network is gone');
    })(),
  );
  await rejects(applyLayer(scratch.root, failing, { whiteouts: 'overlay' }), /the network is gone/);
});

test('packing sets or clamps times, leaves out what it is told, and joins hard links', async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.path('d/e'), { recursive: true });
  for (const name of ['d/e/f', 'd/g', 'h']) writeFileSync(scratch.path(name), name);
  utimesSync(scratch.path('h'), 100.9, 100.9);
  const packed = async (options: Partial<Parameters<typeof packLayer>[2]>) => {
    const parts: Buffer[] = [];
    const { Writable } = await import('node:stream');
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        parts.push(chunk);
        done();
      },
    });
    await packLayer(scratch.root, sink, { whiteouts: 'overlay', ...options });
    return Buffer.concat(parts);
  };
  const times = async (timestamp: { seconds: number; mode: 'set' | 'clamp' }) => {
    let at = 0;
    const bytes = await packed({ timestamp, exclude: ['/d/e/', 'd/g'] });
    const reader = new TarReader({
      next: (limit) => {
        const view = bytes.subarray(at, at + limit);
        at += view.length;
        return view;
      },
    });
    const found: string[] = [];
    for (let entry = reader.next(); entry; entry = reader.next())
      found.push(`${entry.name} ${entry.modifiedNs / 1_000_000_000n}`);
    return found;
  };
  deepEqual(await times({ seconds: 500, mode: 'set' }), ['d/ 500', 'h 500']);
  deepEqual(await times({ seconds: 500, mode: 'clamp' }), ['d/ 500', 'h 100']);
});

if (isRoot) {
  test('overlay: whiteouts, opaque directories and only those that hide something', async () => {
    using scratch = new Scratch();
    using lower = new Scratch();
    mkdirSync(lower.path('shown'));
    const bytes = archive(
      directory('new'),
      file('new/.wh..wh..opq', '', { mode: 0o755, modifiedNs: 0n }),
      directory('shown'),
      file('shown/.wh..wh..opq', '', { mode: 0o755, modifiedNs: 0n }),
      file('shown/.wh.gone', '', { mode: 0 }),
    );
    await scratch.apply(bytes);
    const time = 1_700_000_000;
    for (const name of ['new', 'shown']) utimesSync(scratch.path(name), time, time);
    const all = await packLayer(scratch.root, undefined, {
      whiteouts: 'overlay',
      timestamp: { seconds: time, mode: 'set' },
    });
    ok(statSync(scratch.path('shown/gone')).isCharacterDevice());
    equal(all.sizeBytes, bytes.length);
    const some = await packLayer(scratch.root, undefined, {
      whiteouts: 'overlay',
      lowerDirectories: [lower.root],
    });
    equal(some.sizeBytes, bytes.length - 512);
  });
} else console.log('SKIP overlay whiteouts: needs root');

test('encoding refuses what a header cannot say', () => {
  throws(() => entryBytes({ name: 'f', xattrs: { 'user.a=b': 'x' } }), { code: 'bad-layer' });
  throws(() => entryBytes({ name: 'f', xattrs: { 'user.a': 'x'.repeat(1 << 20) } }), { code: 'bad-layer' });
  throws(() => entryBytes({ name: 'f', deviceMajor: 2 ** 40 }), { code: 'bad-layer' });
});

test.run();
