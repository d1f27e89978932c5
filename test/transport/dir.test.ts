import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { copyImage } from '../../transport/copy.ts';
import { parseImageReference } from '../../transport/references.ts';
import { ANYTHING, contextFor, writeLayout } from '../support/layout.ts';
import { tarOf } from '../support/tar.ts';

const test = suite<{ directory: string }>('dir');
test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'dir-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

async function copy(directory: string, from: string, to: string, options = {}) {
  const parse = (text: string) => parseImageReference(text, { workingDirectory: directory });
  const context = contextFor(directory);
  return copyImage(ANYTHING, await parse(from), await parse(to), {
    source: context,
    destination: context,
    ...options,
  });
}

test('writes the files of the format, readable for all', async ({ directory }) => {
  const image = writeLayout(join(directory, 'a'), 'x');
  await copy(directory, 'oci:a:x', 'dir:b');
  deepEqual(
    readdirSync(join(directory, 'b')).toSorted(),
    [
      'manifest.json',
      'version',
      image.configDigest.slice(7),
      ...image.layers.map(({ digest }) => digest.slice(7)),
    ].toSorted(),
  );
  equal(readFileSync(join(directory, 'b/version'), 'utf8'), 'Directory Transport Version: 1.1\n');
});

test('another image replaces the old one whole; strange files stay', async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  const next = writeLayout(join(directory, 'b'), 'x', { layers: [tarOf([{ name: 'n' }])] });
  await copy(directory, 'oci:a:x', 'dir:d');
  writeFileSync(join(directory, 'd/notes.txt'), 'mine');
  await copy(directory, 'oci:b:x', 'dir:d');
  deepEqual(
    readdirSync(join(directory, 'd')).toSorted(),
    [
      'manifest.json',
      'notes.txt',
      'version',
      next.configDigest.slice(7),
      next.layers[0]!.digest.slice(7),
    ].toSorted(),
  );
});

test('a failure leaves the old image as it was', async ({ directory }) => {
  const old = writeLayout(join(directory, 'a'), 'x');
  const bad = writeLayout(join(directory, 'b'), 'x', {
    layers: [tarOf([{ name: 'n' }]), tarOf([{ name: 'm' }])],
  });
  await copy(directory, 'oci:a:x', 'dir:d');
  writeFileSync(join(directory, 'b/blobs/sha256', bad.layers[1]!.digest.slice(7)), 'broken');
  await rejects(copy(directory, 'oci:b:x', 'dir:d'));
  equal((await copy(directory, 'dir:d', 'oci:check:x')).digest, old.digest);
});

test('an interrupted copy is gone on with; an empty directory of the user stays', async ({ directory }) => {
  const image = writeLayout(join(directory, 'a'), 'x');
  const broken = join(directory, 'a/blobs/sha256', image.layers[1]!.digest.slice(7));
  const good = readFileSync(broken);
  writeFileSync(broken, 'broken');
  await rejects(copy(directory, 'oci:a:x', 'dir:d', { parallelBlobs: 1 }));
  equal(existsSync(join(directory, 'd/manifest.json')), false);
  writeFileSync(broken, good);
  const again = await copy(directory, 'oci:a:x', 'dir:d');
  equal(again.counts.present, 1);
  equal(existsSync(join(directory, 'd/.partial')), false);
  mkdirSync(join(directory, 'empty'));
  await rejects(copy(directory, 'oci:none:x', 'dir:empty'));
  ok(existsSync(join(directory, 'empty')));
});

test('versions: newer ones and other directories are refused', async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  for (const [text, pattern] of [
    ['Directory Transport Version: 9.0\n', /unsupported directory transport version/],
    ['Directory Transport Version: x\n', /invalid version file content/],
  ] as const) {
    rmSync(join(directory, 'd'), { recursive: true, force: true });
    await copy(directory, 'oci:a:x', 'dir:d');
    writeFileSync(join(directory, 'd/version'), text);
    await rejects(copy(directory, 'dir:d', 'oci:e:x'), pattern);
    await rejects(copy(directory, 'oci:a:x', 'dir:d'), pattern);
  }
});

test.run();
