import { deepEqual, equal } from 'node:assert/strict';
import { linkSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { suite } from 'uvu';
import { packLayer } from '../../../store/layer/pack.ts';
import { TarReader } from '../../../store/layer/tar-reader.ts';
import { Scratch } from './scratch.ts';

const test = suite('layers of Windows');

async function packed(root: string, seconds?: number) {
  const output = new PassThrough({ highWaterMark: 1 << 24 });
  const timestamp = seconds === undefined ? undefined : ({ seconds, mode: 'set' } as const);
  await packLayer(root, output, { whiteouts: 'overlay', windows: { madeAtSeconds: 5000 }, timestamp });
  output.end();
  const bytes = await buffer(output);
  let at = 0;
  const reader = new TarReader({
    next: (limit) => {
      const view = Buffer.from(bytes.subarray(at, at + limit));
      at += view.length;
      return view;
    },
  });
  const entries = [];
  for (let entry = reader.next(); entry; entry = reader.next()) entries.push(entry);
  return entries;
}

test('everything lies below Files, beside Hives, with attributes of Windows', async () => {
  using scratch = new Scratch();
  mkdirSync(scratch.path('d'));
  writeFileSync(scratch.path('d/f'), 'text');
  linkSync(scratch.path('d/f'), scratch.path('d/hard'));
  symlinkSync('f', scratch.path('d/soft'));
  for (const path of ['d/f', 'd']) utimesSync(scratch.path(path), 1000, 1000);
  const entries = await packed(scratch.root);
  deepEqual(
    entries.map(({ name, linkName, modeField, modifiedNs, pax }) => [
      name,
      linkName,
      modeField?.toString(8),
      linkName === 'f' ? '' : Number(modifiedNs / 1_000_000_000n),
      pax.get('MSWINDOWS.fileattr'),
    ]),
    [
      ['Hives/', '', '40755', 5000, '16'],
      ['Files/', '', '40755', 5000, '16'],
      ['Files/d/', '', '40755', 1000, '16'],
      ['Files/d/f', '', '100644', 1000, '32'],
      ['Files/d/hard', 'Files/d/f', '644', 1000, undefined],
      ['Files/d/soft', 'f', '777', '', undefined],
    ],
  );
  equal(entries[3]?.pax.get('LIBARCHIVE.creationtime'), '1000.000000000');
});

test('times that are set are those of the attributes and of the two directories too', async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.path('f'), '');
  const entries = await packed(scratch.root, 77);
  deepEqual(
    entries.map(({ modifiedNs, pax }) => [modifiedNs, pax.get('LIBARCHIVE.creationtime')]),
    Array.from({ length: 3 }, () => [77_000_000_000n, '77.000000000']),
  );
});

test('a security descriptor names its owner, its group and who may what', async () => {
  using scratch = new Scratch();
  writeFileSync(scratch.path('f'), '');
  const [hives, , file] = await packed(scratch.root);
  for (const [entry, grants, sizeBytes] of [
    [hives, 7, 216],
    [file, 3, 124],
  ] as const) {
    const bytes = Buffer.from(entry?.pax.get('MSWINDOWS.rawsd') ?? '', 'base64');
    equal(bytes.length, sizeBytes);
    equal(bytes.readUInt16LE(2), 0x8004);
    const list = bytes.readUInt32LE(16);
    equal(bytes.readUInt16LE(list + 2), bytes.length - list);
    equal(bytes.readUInt16LE(list + 4), grants);
    equal(bytes.readUInt32LE(bytes.readUInt32LE(4) + 12), 544, 'owned by administrators');
  }
});

test.run();
