import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { TarReader } from '../../../store/layer/tar-reader.ts';

const test = suite('sparse files in archives');
const base = mkdtempSync(join(tmpdir(), 'slipway-sparse-test-'));
test.after(() => rmSync(base, { recursive: true, force: true }));

const SIZE = 3_000_000;

/** A file with pieces at odd places and holes at both ends. */
function sparseFile(name: string, pieces: number): Buffer {
  const fd = openSync(join(base, name), 'w');
  for (let piece = 1; piece <= pieces; piece += 1)
    writeSync(fd, `piece ${piece}`, piece * Math.floor(SIZE / (pieces + 1)));
  ftruncateSync(fd, SIZE);
  closeSync(fd);
  return readFileSync(join(base, name));
}

function read(archive: Buffer, expandSparse: boolean, passHoles = false): [name: string, content: Buffer][] {
  let at = 0;
  const next = (limit: number) => {
    const view = archive.subarray(at, at + Math.min(limit, 1000));
    at += view.length;
    return view;
  };
  const reader = new TarReader({ next }, undefined, { expandSparse });
  const found: [string, Buffer][] = [];
  for (let entry = reader.next(); entry; entry = reader.next()) {
    const chunks: Buffer[] = [];
    const pass = () => passHoles && chunks.push(Buffer.alloc(reader.hole()));
    pass();
    for (let view = reader.content(100); view.length > 0; view = reader.content(100)) {
      chunks.push(Buffer.from(view));
      pass();
      assert.equal(passHoles && reader.hole(), passHoles && 0, 'a hole is passed over as a whole');
    }
    assert.equal(Buffer.concat(chunks).length, entry.sizeBytes);
    found.push([entry.name, Buffer.concat(chunks)]);
  }
  return found;
}

const FORMATS = [
  ['gnu', '--format=gnu'],
  ['PAX 0.1', '--format=posix', '--sparse-version=0.1'],
  ['PAX 1.0', '--format=posix', '--sparse-version=1.0'],
] as const;
for (const [name, ...flags] of FORMATS)
  test(`${name}: pieces and holes are the file again, and what follows is found`, () => {
    const few = sparseFile('few', 2);
    const many = sparseFile('many', 60);
    const archive = execFileSync('tar', ['-C', base, '-cS', ...flags, 'few', 'many', 'few'], {
      maxBuffer: 1 << 26,
    });
    assert.ok(archive.length < SIZE, 'tar did not see the holes');
    const found = read(archive, true);
    assert.deepEqual(
      found.map(([entry]) => entry),
      ['few', 'many', 'few'].slice(0, found.length),
    );
    assert.ok(found[0]?.[1].equals(few));
    assert.ok(found[1]?.[1].equals(many));
    assert.deepEqual(read(archive, true, true), found);
    assert.throws(() => read(archive, false), { code: 'unsupported' });
  });

test('a map that does not fit the file is refused', () => {
  sparseFile('few', 2);
  const archive = execFileSync('tar', ['-C', base, '-cS', '--format=gnu', 'few']);
  const broken = (at: number, text: string) => {
    const bytes = Buffer.from(archive);
    bytes.write(text, at, 'latin1');
    bytes.write('        ', 148, 'latin1');
    const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    return bytes;
  };
  for (const bytes of [broken(386, '77777777777'), broken(483, '00000000001'), broken(398, '00000001000')])
    assert.throws(() => read(bytes, true), { code: 'bad-layer' });
});

test.run();
