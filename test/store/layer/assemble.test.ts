import { equal, ok, rejects } from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { suite } from 'uvu';
import { BLOCK_BYTES } from '../../../store/kernel/passing-bytes.ts';
import { assembleLayer } from '../../../store/layer/tar-split.ts';
import { parseTarSplitLine } from '../../../store/layer/tar-split-format.ts';
import { archive, directory, file, utf8 } from './archive-builder.ts';
import { Scratch } from './scratch.ts';

const test = suite('store/layer assembling');

const content = (sizeBytes: number, seed: number) =>
  Buffer.from(Uint8Array.from({ length: sizeBytes }, (_, at) => (at * seed + (at >> 8)) & 0xff));

const NAMES = ['plain', '<&>', 'quote"back\\slash', utf8('größe'), 'not \xff utf8', 'tab\tand\u007f'];
const SAMPLE = archive(
  ...NAMES.map((name, index) => file(name, content(index * 1000, 3))),
  directory('d'),
  ...Array.from({ length: 400 }, (_, at) => file(`d/f${at}`, content((at * 7919) % 9000, at))),
  file('large', content(3_000_000, 7)),
  ...Array.from({ length: 2000 }, (_, at) => file(`d/empty${at}`)),
  file('last', content(262_144, 11)),
);
const open = () => readdirSync('/proc/self/fd').length;

test('gives the archive back, in blocks of one size but for the last', async () => {
  using scratch = new Scratch();
  const { tarSplit } = await scratch.apply(SAMPLE);
  const before = open();
  const blocks: Buffer[] = [];
  for await (const block of assembleLayer(tarSplit, scratch.root)) blocks.push(block as Buffer);
  ok(Buffer.concat(blocks).equals(SAMPLE));
  ok(blocks.slice(0, -1).every(({ length }) => length === BLOCK_BYTES));
  equal(open(), before);
});

test('closes what it has open when its reader goes, or a file is not what it was', async () => {
  using scratch = new Scratch();
  const { tarSplit } = await scratch.apply(SAMPLE);
  const before = open();
  for await (const _block of assembleLayer(tarSplit, scratch.root)) break;
  writeFileSync(scratch.path('large'), content(3_000_000, 8));
  await rejects(buffer(assembleLayer(tarSplit, scratch.root)), {
    code: 'bad-layer',
    message: '"large" of the layer is not what it was when the layer was made',
  });
  writeFileSync(scratch.path('large'), content(2_999_999, 7));
  await rejects(buffer(assembleLayer(tarSplit, scratch.root)), /"large" of the layer is not what it was/);
  await setImmediate();
  equal(open(), before);
});

test('lines of tar-split are read by a pattern or as JSON, with the same result', () => {
  const lines: readonly (readonly [string, string])[] = [
    ['{"type":2,"payload":"AAEC+/==","position":0}', '{"type":2,"payload":"AAEC\\u002b/==","position":0}'],
    [
      '{"type":1,"name":"a/b c","size":5,"payload":"AAECAwQFBgc=","position":1}',
      '{"type":1,"name":"a\\/b c","size":5,"payload":"AAECAwQFBgc=","position":1}',
    ],
    [
      '{"type":1,"name":"x","size":0,"payload":"AAAAAAAAAAA=","position":2}',
      '{"position":2,"payload":null,"size":0,"name":"x","type":1}',
    ],
    [
      '{"type":1,"name":"x","size":7,"payload":"AAECAwQFBgc=","position":1}',
      '{"type":1,"name_raw":"eA==","size":7,"payload":"AAECAwQFBgc=","position":1}',
    ],
  ];
  for (const [plain, json] of lines) {
    const found = parseTarSplitLine(plain);
    equal(JSON.stringify(shown(found)), JSON.stringify(shown(parseTarSplitLine(json))), plain);
  }
});

const shown = (line: ReturnType<typeof parseTarSplitLine>) =>
  line.kind === 'file' ? { ...line, crc64: String(line.crc64) } : line;

test.run();
