import { deepEqual, equal, rejects } from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import { parseDefinition } from '../../transport/sif/source.ts';
import { ANYTHING, contextFor, SMALL_LAYERS } from '../support/layout.ts';

const test = suite<{ directory: string }>('images made of tar and sif files');
test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'made-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

async function copy(directory: string, from: string, to: string) {
  const parse = (text: string) => parseImageReference(text, { workingDirectory: directory });
  const context = contextFor(directory);
  return copyImage(ANYTHING, await parse(from), await parse(to), { source: context, destination: context });
}
const config = (directory: string, manifest: Uint8Array) => {
  const { digest } = JSON.parse(Buffer.from(manifest).toString()).config;
  return JSON.parse(readFileSync(join(directory, digest.slice(7)), 'utf8'));
};

test('tarball: one layer for each file, plain or compressed', async ({ directory }) => {
  const [one, two] = SMALL_LAYERS as [Buffer, Buffer];
  writeFileSync(join(directory, 'one.tar'), one);
  writeFileSync(join(directory, 'two.tgz'), gzipSync(two));
  for (const name of ['one.tar', 'two.tgz']) utimesSync(join(directory, name), 1e9, 1e9 + 0.5);
  const { manifest } = await copy(directory, 'tarball:one.tar:two.tgz', 'dir:b');
  const made = config(join(directory, 'b'), manifest.bytes);
  deepEqual(made.rootfs.diff_ids, [digestOf(one), digestOf(two)]);
  equal(made.created, '2001-09-09T01:46:40.5Z');
  equal(made.history.length, 2);
  await rejects(copy(directory, 'tarball:none.tar', 'dir:c'), { code: 'not-found' });
  await rejects(copy(directory, 'dir:b', 'tarball:x'), /can only be read from/);
});

/** A SIF file with a definition and a root file system (that the stand-in for unsquashfs ignores). */
function sif(definition: string, kind = 1): Buffer {
  const header = Buffer.alloc(128);
  header.write('SIF_MAGIC\0', 32, 'latin1');
  header.writeBigInt64LE(1_600_000_000n, 72);
  header.writeBigInt64LE(2n, 88);
  header.writeBigInt64LE(128n, 96);
  const descriptor = (type: number, offset: number, size: number) => {
    const entry = Buffer.alloc(585);
    entry.writeInt32LE(type, 0);
    entry[4] = 1;
    entry.writeBigInt64LE(BigInt(offset), 17);
    entry.writeBigInt64LE(BigInt(size), 25);
    return entry;
  };
  const text = Buffer.from(definition);
  const root = descriptor(0x4004, 128 + 2 * 585 + text.length, 4);
  root.writeInt32LE(kind, 201);
  root.writeInt32LE(2, 205);
  root.write('02', 209, 'latin1');
  return Buffer.concat([
    header,
    descriptor(0x4001, 128 + 2 * 585, text.length),
    root,
    text,
    Buffer.from('hsqs'),
  ]);
}

test('sif: the header leads to the root file system, which unsquashfs unpacks', async ({ directory }) => {
  mkdirSync(join(directory, 'bin'));
  const tool = join(directory, 'bin/unsquashfs');
  writeFileSync(
    tool,
    '#!/bin/sh\nwhile [ "$1" != -d ]; do shift; done\nmkdir -p "$2/etc"; echo hi > "$2/etc/hi"\n',
  );
  chmodSync(tool, 0o755);
  writeFileSync(
    join(directory, 'x.sif'),
    sif('Bootstrap: x\n%environment\nexport A=1\n%runscript\necho run\n'),
  );
  const path = process.env.PATH;
  process.env.PATH = `${join(directory, 'bin')}:${path}`;
  try {
    const { manifest } = await copy(directory, 'sif:x.sif', 'dir:b');
    const made = config(join(directory, 'b'), manifest.bytes);
    deepEqual([made.architecture, made.config.Cmd], ['amd64', ['/podman/runscript']]);
  } finally {
    process.env.PATH = path;
  }
});

test('sif: damaged files and other file systems are one clear line', async ({ directory }) => {
  const good = sif('');
  const rows: [Buffer, string][] = [
    [good.subarray(0, 100), 'bad-archive'],
    [Buffer.concat([Buffer.alloc(32), good.subarray(64)]), 'bad-archive'],
    [good.subarray(0, 600), 'bad-archive'],
    [sif('', 2), 'unsupported'],
  ];
  for (const [bytes, code] of rows) {
    writeFileSync(join(directory, 'x.sif'), bytes);
    await rejects(copy(directory, 'sif:x.sif', 'dir:c'), { code });
  }
  deepEqual(parseDefinition('%environment\n# no\nA=1\n%files\nx\n%runscript\nrun\n'), {
    environment: ['A=1'],
    script: ['run'],
  });
});

test.run();
