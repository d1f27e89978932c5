import { deepEqual, equal, ok } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import type { BuildOptions } from '../../../build/exec/options.ts';
import { type BuildPlace, openBuildPlace } from '../../support/build-place.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('files of an earlier COPY');
const base = mkdtempSync(join(tmpdir(), 'remembered-copy-'));
process.on('exit', () => rmSync(base, { recursive: true, force: true }));
const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.log('SKIP files of an earlier COPY: overlay layers need root');

const FILES = 300;
const COPY = 'FROM scratch\nCOPY tree /t/\n';
let count = 0;

interface Scene {
  readonly tree: string;
  readonly places: BuildPlace;
  /** The directory of the top layer's files. */
  build(text: string, options?: Partial<BuildOptions>): Promise<string>;
}

function scene(): Scene {
  const own = join(base, `s${count++}`);
  const context = join(own, 'context');
  const tree = join(context, 'tree');
  for (let at = 0; at < 3; at += 1) mkdirSync(join(tree, `d${at}`), { recursive: true });
  for (let at = 0; at < FILES; at += 1) writeFileSync(join(tree, `d${at % 3}`, `f${at}`), `content ${at}`);
  linkSync(join(tree, 'd0/f0'), join(tree, 'd0/other-name'));
  symlinkSync('f0', join(tree, 'd0/link'));
  chmodSync(join(tree, 'd0/f3'), 0o751);
  const places = openBuildPlace(own, context);
  const memoryDirectory = join(own, 'memory');
  return {
    tree,
    places,
    build: async (text, options = {}) => {
      // Files that changed just now have no digests that are remembered.
      await setTimeout(150);
      const { result } = await places.build(text, { memoryDirectory, ...options });
      return places.withStore(async (store) => {
        const layer = (await store.images.get(result.imageId))?.topLayer;
        return store.layers.diffDirectory(layer as string);
      });
    },
  };
}

/** Everything about a tree but inodes and the time of the directory that COPY made. */
function listing(directory: string): string[] {
  const lines = execFileSync('find', ['.', '-printf', '%P %y %m %U:%G %s %T@ %l\n'], {
    cwd: directory,
    encoding: 'utf8',
  });
  const shown = lines.split('\n').filter((line) => !/^(|t|app|t\/deep) d /.test(line));
  return shown.sort().map((line) => {
    const [path = '', type] = line.split(' ');
    return type === 'f' ? `${line} ${digestOf(join(directory, path))}` : line;
  });
}

const digestOf = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const inode = (...parts: string[]) => lstatSync(join(...parts)).ino;

function change(tree: string): void {
  writeFileSync(join(tree, 'd1/f1'), 'changed 1');
  chmodSync(join(tree, 'd1/f4'), 0o600);
  utimesSync(join(tree, 'd1/f7'), 1000, 1000);
  rmSync(join(tree, 'd2/f2'));
  writeFileSync(join(tree, 'd2/new'), 'new');
  rmSync(join(tree, 'd0/other-name'));
  writeFileSync(join(tree, 'd0/other-name'), 'content 0');
  rmSync(join(tree, 'd2/f5'));
  symlinkSync('f8', join(tree, 'd2/f5'));
}

for (const [text, below] of [
  [COPY, 't'],
  ['FROM scratch\nWORKDIR /app\nCOPY tree .\n', 'app'],
  ['FROM scratch\nCOPY tree/d1 /etc/\nCOPY tree /t/deep\n', 't/deep'],
] as const)
  test(`unchanged ones are taken over, and the layer is the same: ${JSON.stringify(text)}`, async () => {
    const { tree, build } = scene();
    const first = await build(text);
    change(tree);
    const second = await build(text);
    equal(inode(second, below, 'd0/f9'), inode(first, below, 'd0/f9'));
    for (const path of ['d1/f1', 'd1/f4', 'd1/f7', 'd0/other-name'])
      ok(inode(second, below, path) !== inode(first, below, path), path);
    // Within the same second it would be the same layer, since COPY makes the directory.
    await setTimeout(1100);
    const copied = await build(text, { memoryDirectory: undefined, useCache: false });
    deepEqual(listing(second), listing(copied));
    ok(inode(copied, below, 'd0/f9') !== inode(first, below, 'd0/f9'));
  });

for (const [name, options] of [
  ['--no-cache', { useCache: false }],
  ['--timestamp', { timestampSeconds: 77 }],
  ['--rewrite-timestamp', { sourceDateEpochSeconds: 77, rewriteTimestamp: true }],
  ['--rm=false', { removeIntermediate: false }],
] as const)
  test(`nothing is taken over with ${name}`, async () => {
    const { tree, places, build } = scene();
    const first = await build(COPY);
    const before = lstatSync(join(first, 't/d0/f9'), { bigint: true });
    writeFileSync(join(tree, 'd1/f1'), 'changed 1');
    if (name === '--rm=false') {
      await setTimeout(150);
      const memoryDirectory = join(base, `s${count - 1}`, 'memory');
      await places.build(COPY, { memoryDirectory, ...options }, true);
    } else await build(COPY, options);
    const after = lstatSync(join(first, 't/d0/f9'), { bigint: true });
    equal(after.nlink, 1n);
    equal(after.mtimeNs, before.mtimeNs);
  });

test('an earlier layer that is gone, or whose file is another one, is not needed', async () => {
  const { tree, places, build } = scene();
  const first = await build(COPY);
  chmodSync(join(first, 't/d0/f9'), 0o777);
  rmSync(join(first, 't/d0/f12'));
  writeFileSync(join(tree, 'd1/f1'), 'changed 1');
  const second = await build(COPY);
  equal(lstatSync(join(second, 't/d0/f9')).mode & 0o777, lstatSync(join(tree, 'd0/f9')).mode & 0o777);
  equal(readFileSync(join(second, 't/d0/f12'), 'utf8'), 'content 12');
  await places.withStore(async (store) => {
    for (const { id } of await store.images.list()) await store.deleteImage(id);
  });
  writeFileSync(join(tree, 'd1/f1'), 'changed 2');
  const third = await build(COPY);
  equal(readFileSync(join(third, 't/d1/f1'), 'utf8'), 'changed 2');
  equal(lstatSync(join(third, 't/d0/f9')).nlink, 1);
});

test('what a directory of the base holds stays, and files are copied there', async () => {
  const { tree, build } = scene();
  const text = 'FROM scratch\nCOPY tree/d1/f1 /t/kept\nCOPY tree /t/\n';
  await build(text);
  writeFileSync(join(tree, 'd1/f4'), 'changed');
  const second = await build(text);
  equal(lstatSync(join(second, 't/d0/f9')).nlink, 1);
  equal(readFileSync(join(second, 't/d1/f4'), 'utf8'), 'changed');
});

test('a later RUN that writes to a file leaves the earlier layer as it was', async () => {
  const { tree, build } = scene();
  makeRootfs(join(tree, '../rootfs'), { commands: ['sh'] });
  const text = 'FROM scratch\nCOPY rootfs /\nCOPY tree /t/\n';
  const first = await build(text);
  writeFileSync(join(tree, 'd1/f1'), 'changed 1');
  const ran = await build(`${text}RUN ["/bin/sh", "-c", "echo more >> /t/d0/f9"]\n`);
  equal(readFileSync(join(ran, 't/d0/f9'), 'utf8'), 'content 9more\n');
  equal(readFileSync(join(first, 't/d0/f9'), 'utf8'), 'content 9');
});

if (isRoot) test.run();
else {
  const skipped = suite('files of an earlier COPY');
  skipped.skip('needs root', () => {});
  skipped.run();
}
