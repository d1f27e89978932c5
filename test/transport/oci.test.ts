import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { digestOf } from '../../image/digest.ts';
import { copyImage } from '../../transport/copy.ts';
import { deleteImage } from '../../transport/delete.ts';
import { parseImageReference } from '../../transport/references.ts';
import { listTags } from '../../transport/tags.ts';
import { ANYTHING, contextFor, nameImage, putImage, writeLayout } from '../support/layout.ts';
import { tarOf } from '../support/tar.ts';

const test = suite<{ directory: string }>('oci layouts');
test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'layout-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

const parse = (directory: string, text: string) => parseImageReference(text, { workingDirectory: directory });
async function copy(directory: string, from: string, to: string, more = {}) {
  const context = contextFor(directory, more);
  return copyImage(ANYTHING, await parse(directory, from), await parse(directory, to), {
    source: context,
    destination: context,
  });
}
const index = (directory: string, name: string) =>
  JSON.parse(readFileSync(join(directory, name, 'index.json'), 'utf8'));

test('chooses by name, position and digest, and asks where several images are', async ({ directory }) => {
  const layout = join(directory, 'a');
  const one = writeLayout(layout, 'one');
  const two = writeLayout(layout, 'two', { layers: [tarOf([{ name: 'x' }])] });
  for (const [text, digest] of [
    ['oci:a:one', one.digest],
    ['oci:a:two', two.digest],
    ['oci:a:@1', two.digest],
    [`oci:a:@${one.digest}`, one.digest],
  ] as const)
    equal((await copy(directory, text, `dir:${text.replace(/\W/g, '')}`)).digest, digest, text);
  await rejects(copy(directory, 'oci:a', 'dir:x'), /more than one image in oci, choose an image/);
  await rejects(copy(directory, 'oci:a:@7', 'dir:x'), /index 7 is too large, only 2 entries available/);
  await rejects(copy(directory, 'oci:a:three', 'dir:x'), {
    code: 'not-found',
    message: /no descriptor found for reference "three"/,
  });
  await rejects(copy(directory, 'oci:a:one', 'oci:b:@0'), /must not contain a manifest index/);
  deepEqual(await listTags(await parse(directory, 'oci:a:@0'), contextFor(directory)), ['one', 'two']);
});

test('a name moves, unknown fields of index.json stay', async ({ directory }) => {
  const layout = join(directory, 'a');
  writeLayout(layout, 'x');
  const json = index(directory, 'a');
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ ...json, custom: { deep: [1] } }));
  writeLayout(join(directory, 'b'), 'y', { layers: [tarOf([{ name: 'x' }])] });
  await copy(directory, 'oci:b:y', 'oci:a:x');
  const after = index(directory, 'a');
  deepEqual(after.custom, { deep: [1] });
  deepEqual(
    after.manifests.map((entry: { annotations?: object }) => entry.annotations),
    [undefined, { 'org.opencontainers.image.ref.name': 'x' }],
  );
  await copy(directory, 'oci:b:y', 'oci:a:x');
  equal(index(directory, 'a').manifests.length, 2, 'writing again adds nothing');
});

test('copies into one layout at the same time lose nothing', async ({ directory }) => {
  for (let at = 0; at < 6; at += 1)
    writeLayout(join(directory, `s${at}`), 'x', { layers: [tarOf([{ name: `f${at}` }])] });
  await Promise.all(Array.from({ length: 6 }, (_, at) => copy(directory, `oci:s${at}:x`, `oci:all:n${at}`)));
  deepEqual((await listTags(await parse(directory, 'oci:all:@0'), contextFor(directory))).length, 6);
  deepEqual(readdirSync(join(directory, 'all')).toSorted(), ['blobs', 'index.json', 'oci-layout']);
});

test('delete removes what nobody else uses, and nothing shared', async ({ directory }) => {
  const layout = join(directory, 'a');
  const shared = tarOf([{ name: 'shared', body: 's' }]);
  const one = writeLayout(layout, 'one', { layers: [shared, tarOf([{ name: 'one' }])] });
  const two = writeLayout(layout, 'two', { layers: [shared, tarOf([{ name: 'two' }])] });
  await deleteImage(await parse(directory, 'oci:a:one'), contextFor(directory));
  const left = new Set(readdirSync(join(layout, 'blobs/sha256')));
  for (const { digest } of two.layers) ok(left.has(digest.slice(7)));
  equal(left.has(one.layers[1]!.digest.slice(7)), false);
  equal(left.has(one.digest.slice(7)), false);
  await copy(directory, 'oci:a:two', 'dir:b');
  await rejects(deleteImage(await parse(directory, 'oci:a:one'), contextFor(directory)), {
    code: 'not-found',
  });
  await rejects(
    deleteImage(await parse(directory, 'dir:b'), contextFor(directory)),
    /not implemented for dir: images/,
  );
});

test('shared blob directories hold the blobs, and deleting leaves them', async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  const shared = { ociSharedBlobDirectory: join(directory, 'shared') };
  const context = contextFor(directory);
  await copyImage(ANYTHING, await parse(directory, 'oci:a:x'), await parse(directory, 'oci:b:x'), {
    source: context,
    destination: { ...context, ...shared },
  });
  equal(existsSync(join(directory, 'b/blobs/sha256')), false);
  equal(readdirSync(join(directory, 'shared/sha256')).length, 4);
  await deleteImage(await parse(directory, 'oci:b:x'), contextFor(directory, shared));
  equal(readdirSync(join(directory, 'shared/sha256')).length, 4);
});

test('M06: sha512 is verified as sha512, in directories and archives', async ({ directory }) => {
  const layout = join(directory, 'a');
  const bytes = tarOf([{ name: 'x', body: 'x' }]);
  const digest = digestOf(bytes, 'sha512');
  mkdirSync(join(layout, 'blobs/sha512'), { recursive: true });
  const path = join(layout, 'blobs/sha512', digest.slice(7));
  writeFileSync(path, bytes);
  const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: bytes.length }];
  nameImage(
    layout,
    putImage(layout, { manifest: { layers }, config: { rootfs: { type: 'layers', diff_ids: [] } } }),
    'x',
  );
  const first = await copy(directory, 'oci:a:x', 'oci-archive:b.tar:x', {
    ociAcceptUncompressedLayers: true,
  });
  await copy(directory, 'oci-archive:b.tar:x', 'dir:c');
  ok(existsSync(join(directory, `c/sha512-${digest.slice(7)}`)));
  equal(readFileSync(join(directory, 'c/version'), 'utf8'), 'Directory Transport Version: 1.2\n');
  ok(first.digest);
  writeFileSync(path, Buffer.alloc(bytes.length));
  await rejects(copy(directory, 'oci:a:x', 'dir:d'), { code: 'digest-mismatch' });
});

test('broken index.json stops before anything moves', async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  nameImage(join(directory, 'b'), putImage(join(directory, 'b')), 'y');
  writeFileSync(join(directory, 'b/index.json'), '{"manifests":[{"digest":"sha256:../x","size":1}]}');
  await rejects(copy(directory, 'oci:a:x', 'oci:b:x'), { code: 'bad-digest' });
  await rejects(copy(directory, 'oci:b:y', 'dir:c'), { code: 'bad-digest' });
  equal(existsSync(join(directory, 'c')), false);
});

test('referrers in a layout are found by their subject, and go along when asked for', async ({
  directory,
}) => {
  const layout = join(directory, 'a');
  const image = writeLayout(layout, 'x');
  const subject = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: image.digest,
    size: image.size,
  };
  const sbom = putImage(layout, { layers: [], manifest: { subject, artifactType: 'application/spdx+json' } });
  const other = putImage(layout, { layers: [], manifest: { subject, artifactType: 'application/other' } });
  for (const entry of [sbom, other]) nameImage(layout, entry);
  const context = contextFor(directory);
  const run = async (to: string, referrers: object) =>
    copyImage(ANYTHING, await parse(directory, 'oci:a:x'), await parse(directory, to), {
      source: context,
      destination: context,
      referrers,
    });
  deepEqual((await run('oci:b:x', {})).referrers, { copied: 2, present: 0, unsupported: 0 });
  deepEqual((await run('oci:b:x', {})).referrers, { copied: 0, present: 2, unsupported: 0 });
  deepEqual((await run('oci:c:x', { artifactTypes: ['application/spdx+json'] })).referrers, {
    copied: 1,
    present: 0,
    unsupported: 0,
  });
  deepEqual((await run('dir:d', {})).referrers, { copied: 0, present: 0, unsupported: 2 });
  equal(index(directory, 'b').manifests.length, 3);
  // An archive is written as a whole, so what refers to the image is in it from the start, or not at all.
  deepEqual((await run('oci-archive:e.tar', {})).referrers, { copied: 2, present: 0, unsupported: 0 });
  const back = await copyImage(
    ANYTHING,
    await parse(directory, 'oci-archive:e.tar'),
    await parse(directory, 'oci:f:x'),
    { source: context, destination: context, referrers: {} },
  );
  equal(back.digest, image.digest, 'what only describes the image needs no name to be told apart');
  deepEqual(back.referrers, { copied: 2, present: 0, unsupported: 0 });
  writeFileSync(join(layout, 'blobs/sha256', other.digest.slice(7)), '{}');
  await rejects(run('oci-archive:g.tar', {}));
  equal(existsSync(join(directory, 'g.tar')), false);
});

test('SECURITY I4: what is no regular file in a layout is refused, not waited for', async ({ directory }) => {
  const layout = join(directory, 'a');
  const image = writeLayout(layout, 'x');
  const path = join(layout, 'blobs/sha256', image.digest.slice(7));
  const pipe = (name: string) => {
    rmSync(name, { force: true });
    return spawnSync('mkfifo', [name]).status === 0;
  };
  if (!pipe(path)) return console.log('SKIP pipes in layouts: there is no mkfifo');
  await rejects(copy(directory, 'oci:a:x', 'dir:d'), { code: 'bad-layout', message: /not a regular file$/ });
  mkdirSync(join(directory, 'e'));
  for (const name of ['manifest.json', 'version']) {
    pipe(join(directory, 'e', name));
    await rejects(copy(directory, 'dir:e', 'oci:f:x'), { code: 'bad-layout' });
  }
  rmSync(path);
  symlinkSync('/dev/zero', path);
  await rejects(copy(directory, 'oci:a:x', 'dir:d'), { code: 'bad-layout' });
});

test.run();
