import { deepEqual, equal, ok } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { suite } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { AT_FDCWD, mkdirAt, mknodAt } from '../../store/kernel/at.ts';
import { S_IF } from '../../store/kernel/stat.ts';
import { assembleLayer, packLayer } from '../../store/layer/index.ts';
import { archive, directory, file, hardLink, symlink, utf8 } from '../store/layer/archive-builder.ts';
import { isRoot, Scratch, tree } from '../store/layer/scratch.ts';

const test = suite('layers with GNU tar, Podman and Buildah');
let top: string;
test.before(() => {
  top = mkdtempSync(join(tmpdir(), 'slipway-interop-'));
});
test.after(() => {
  spawnSync('umount', ['-q', join(top, 'graph/overlay')]);
  rmSync(top, { recursive: true, force: true });
});

const has = (program: string) => spawnSync(program, ['--version']).status === 0;

/** Runs a peer on a storage of the test's own. */
function peer(program: string, ...args: string[]): string {
  const own = ['--root', join(top, 'graph'), '--runroot', join(top, 'run'), '--storage-driver', 'overlay'];
  return execFileSync(program, [...own, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}

const SAMPLE = archive(
  directory('etc/'),
  file('etc/passwd', 'root:x:0:0', { uid: 3, gid: 4, mode: 0o640 }),
  file('etc/big', Buffer.alloc(300_000, 'layer ')),
  hardLink('etc/passwd2', 'etc/passwd'),
  symlink('lib', 'usr/lib'),
  file(utf8('n\u00e4me'), 'x', { mode: 0o4755 }),
  file('bytes \xff', 'y'),
  file('empty'),
  file(`${'long'.repeat(40)}/${'name'.repeat(30)}`, 'z', { xattrs: { 'user.note': 'v' } }),
);

/** The only layer of a peer's storage whose tar-split is there, newest image first. */
function layerOf(image: string): { id: string; tarSplit: string; diff: string } {
  const layers = JSON.parse(readFileSync(join(top, 'graph/overlay-layers/layers.json'), 'utf8')) as {
    id: string;
  }[];
  const images = JSON.parse(readFileSync(join(top, 'graph/overlay-images/images.json'), 'utf8')) as {
    id: string;
    layer: string;
  }[];
  const id = images.find((found) => found.id === image)?.layer ?? layers[0]!.id;
  return {
    id,
    tarSplit: join(top, 'graph/overlay-layers', `${id}.tar-split.gz`),
    diff: join(top, 'graph/overlay', id, 'diff'),
  };
}

/**
 * Headers and contents as text. Buildah before 1.31 put the file type into the mode field too; the bits and the
 * checksum that they change are left out.
 */
function withoutTypeBits(archive: Buffer): string {
  const bytes = Buffer.from(archive);
  for (let at = 0; at < bytes.length; at += 512) {
    if (bytes.toString('latin1', at + 257, at + 262) !== 'ustar') continue;
    bytes.fill('0', at + 100, at + 103);
    bytes.fill(' ', at + 148, at + 156);
  }
  return digestOf(bytes);
}

if (isRoot && has('tar')) {
  test('GNU tar unpacks what we pack to the same tree, and we what it packs', async () => {
    using scratch = new Scratch();
    using theirs = new Scratch();
    using back = new Scratch();
    await scratch.apply(SAMPLE);
    const path = join(top, 'ours.tar');
    const output = createWriteStream(path);
    await packLayer(scratch.root, output, { whiteouts: 'none' });
    await finished(output.end());
    execFileSync('tar', ['-x', '-p', '--xattrs', '--numeric-owner', '-f', path, '-C', theirs.root], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    deepEqual(tree(theirs.root), tree(scratch.root));
    for (const format of ['gnu', 'pax', 'ustar', 'v7', 'oldgnu']) {
      const names = format === 'gnu' || format === 'pax' ? ['.'] : ['etc', 'lib', 'empty'];
      const packed = execFileSync('tar', ['-c', `--format=${format}`, '-C', scratch.root, ...names]);
      rmSync(back.root, { recursive: true });
      mkdirSync(back.root);
      const { tarSplit } = await back.apply(packed);
      if (names.length === 1) deepEqual(tree(back.root), tree(scratch.root), format);
      ok((await buffer(assembleLayer(tarSplit, back.root))).equals(packed), format);
    }
  });
} else {
  console.log('SKIP GNU tar: needs root, for the owners of files, and tar');
  test.skip('GNU tar', () => {});
}

if (isRoot && has('podman')) {
  test('Podman gives back a layer from our tar-split, and we from its', async () => {
    writeFileSync(join(top, 'sample.tar'), SAMPLE);
    const image = peer('podman', 'import', '--quiet', join(top, 'sample.tar')).replace('sha256:', '');
    const layer = layerOf(image);
    ok((await buffer(assembleLayer(layer.tarSplit, layer.diff))).equals(SAMPLE), 'ours from theirs');
    using scratch = new Scratch();
    const { tarSplit } = await scratch.apply(SAMPLE);
    writeFileSync(layer.tarSplit, tarSplit);
    peer('podman', 'save', '--quiet', '--format', 'docker-dir', '-o', join(top, 'saved'), image);
    const digests = readdirSync(join(top, 'saved'))
      .map((name) => readFileSync(join(top, 'saved', name)))
      .map((bytes) => digestOf(bytes));
    ok(digests.includes(digestOf(SAMPLE)), 'theirs from ours');
    deepEqual(tree(scratch.root), tree(layer.diff));
  });
} else {
  console.log('SKIP Podman: needs root and podman');
  test.skip('Podman', () => {});
}

if (isRoot && has('buildah')) {
  test('packing a container gives the archive that Buildah commits', async () => {
    const container = peer('buildah', 'from', 'scratch');
    const mounted = peer('buildah', 'mount', container);
    execFileSync('tar', ['-x', '-p', '--xattrs', '--numeric-owner', '-C', mounted], { input: SAMPLE });
    mknodAt(AT_FDCWD, join(mounted, 'null'), S_IF.character | 0o666, 1, 3);
    mkdirAt(AT_FDCWD, join(mounted, `${'d'.repeat(99)}`), 0o1777);
    peer('buildah', 'unmount', container);
    const image = peer('buildah', 'commit', '--quiet', container);
    const config = JSON.parse(peer('buildah', 'inspect', '--type', 'image', image)) as {
      OCIv1: { rootfs: { diff_ids: string[] } };
    };
    const { diff, tarSplit } = layerOf(image);
    const theirs = await buffer(assembleLayer(tarSplit, diff));
    equal(digestOf(theirs), config.OCIv1.rootfs.diff_ids[0]);
    const path = join(top, 'packed.tar');
    const output = createWriteStream(path);
    await packLayer(diff, output, { whiteouts: 'overlay', lowerDirectories: [] });
    await finished(output.end());
    equal(withoutTypeBits(readFileSync(path)), withoutTypeBits(theirs));
    peer('buildah', 'rm', container);
  });
} else {
  console.log('SKIP Buildah: needs root and buildah');
  test.skip('Buildah', () => {});
}

test.run();
