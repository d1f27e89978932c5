import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { suite } from 'uvu';
import { digestOf } from '../../../image/digest.ts';
import { openBuildah } from '../../support/buildah-command.ts';

const test = suite('buildah --blob-cache');
const { directory, ok, run, remove } = openBuildah('blob-cache');
test.after(remove);

const asRoot = process.getuid?.() === 0 ? test : test.skip;
if (process.getuid?.() !== 0)
  console.log('SKIP buildah --blob-cache: adding files to a container needs root');

const at = (...names: string[]) => join(directory, ...names);
const manifestOf = (name: string) => JSON.parse(readFileSync(at(name, 'manifest.json'), 'utf8'));
const cacheFlag = `--blob-cache=${at('cache')}`;

async function committed(base: string, file: string, ...flags: string[]): Promise<void> {
  writeFileSync(at(file), file.repeat(1000));
  const container = await ok('from', '--quiet', cacheFlag, base);
  await ok('copy', container, file, `/${file}`);
  await ok('commit', '--quiet', '--rm', ...flags, container, file);
}

asRoot(
  'a commit leaves its blobs, plain and compressed, and later commands take them from there',
  async () => {
    mkdirSync(at('cache'));
    await committed('scratch', 'one', cacheFlag, '--disable-compression=false');
    await ok('push', '--quiet', 'one', `dir:${at('first')}`);
    const manifest = readFileSync(at('first', 'manifest.json'));
    const [layer] = manifestOf('first').layers;
    assert.deepEqual(readFileSync(at('cache', digestOf(manifest))), manifest);
    const kept = readFileSync(at('cache', layer.digest));
    const plain = digestOf(gunzipSync(kept));
    assert.equal(digestOf(readFileSync(at('cache', plain))), plain);
    assert.equal(readFileSync(at('cache', `${plain}.compressed`), 'utf8'), `${layer.digest} gzip`);
    assert.equal(readFileSync(at('cache', `${layer.digest}.decompressed`), 'utf8'), plain);
    assert.ok(readdirSync(at('cache')).includes(`${manifestOf('first').config.digest}.config`));
  },
);

asRoot('a base image keeps the compressed layers that it came with', async () => {
  // Compressed as no default of ours does it, so that only the copy of it can have this digest.
  await ok(
    'push',
    '--quiet',
    '--compression-format=gzip',
    '--compression-level=9',
    'one',
    `dir:${at('base')}`,
  );
  await ok('rmi', '--all', '--force');
  const [layer] = manifestOf('base').layers;
  await committed(`dir:${at('base')}`, 'two', cacheFlag, '--disable-compression=false');
  await ok('push', '--quiet', cacheFlag, 'two', `dir:${at('with')}`);
  await ok('push', '--quiet', 'two', `dir:${at('without')}`);
  assert.equal(manifestOf('with').layers[0].digest, layer.digest);
  assert.notEqual(manifestOf('without').layers[0].digest, layer.digest);
  assert.ok(readdirSync(at('cache')).includes(digestOf(readFileSync(at('with', 'manifest.json')))));
});

asRoot('a directory that is not there costs a warning', async () => {
  const { code, err } = await run('pull', '--blob-cache=/nowhere', `dir:${at('base')}`);
  assert.equal(code, 0);
  assert.match(err, /blob cache directory \\"\/nowhere\\" does not exist/);
});

asRoot('a damaged copy is refused', async () => {
  await ok('rmi', '--all', '--force');
  const [layer] = manifestOf('base').layers;
  writeFileSync(at('cache', layer.digest), Buffer.alloc(layer.size));
  const { code, err } = await run('pull', '--retry=0', cacheFlag, `dir:${at('base')}`);
  assert.notEqual(code, 0);
  assert.match(err, /sha256:/);
});

test.run();
