// What Skopeo writes we read and the other way round, with equal digests.
import { deepEqual, equal } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { copyImage } from '../../transport/copy.ts';
import { openDecryptor, openEncryptor } from '../../transport/encrypt/keys.ts';
import { parseImageReference } from '../../transport/references.ts';
import { ANYTHING, contextFor, writeIndexLayout, writeLayout } from '../support/layout.ts';

const test = suite<{ directory: string }>('skopeo and we');
const has = (tool: string) => spawnSync(tool, ['--version']).status === 0;
const check = (tool: string, name: string) => {
  if (has(tool)) return test;
  console.log(`SKIP ${name}: ${tool} is not installed`);
  return test.skip;
};

test.before.each((state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'interop-'));
});
test.after.each(({ directory }) => rmSync(directory, { recursive: true, force: true }));

async function ours(directory: string, from: string, to: string, options = {}) {
  const parse = (text: string) => parseImageReference(text, { workingDirectory: directory });
  const context = contextFor(directory);
  return copyImage(ANYTHING, await parse(from), await parse(to), {
    source: context,
    destination: context,
    ...options,
  });
}
function theirs(directory: string, ...words: string[]): string {
  return execFileSync('skopeo', ['--insecure-policy', ...words], {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
const digest = (directory: string, name: string) =>
  JSON.parse(theirs(directory, 'inspect', name)).Digest as string;

const PLACES = ['oci:$:x', 'oci-archive:$.tar:x', 'dir:$', 'docker-archive:$.docker.tar:example.com/app:1'];

const one = 'copies between local transports give equal digests';
check('skopeo', one)(one, async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  const start = ['oci:a:x'];
  for (const [at, place] of PLACES.entries()) {
    const [mine, other] = [place.replace('$', `mine${at}`), place.replace('$', `theirs${at}`)];
    await ours(directory, start[0] as string, mine);
    theirs(directory, 'copy', '-q', start[0] as string, other);
    equal(digest(directory, mine), digest(directory, other), `${place} written by both`);
    for (const [next, target] of PLACES.entries()) {
      const [third, fourth] = [
        target.replace('$', `third${at}${next}`),
        target.replace('$', `fourth${at}${next}`),
      ];
      const { counts } = await ours(directory, other, third);
      theirs(directory, 'copy', '-q', mine, fourth);
      equal(counts.moved, 3);
      // Layers that are compressed anew differ by compressor, and we label what an archive holds as what it is.
      if (!place.startsWith('docker-archive'))
        equal(digest(directory, third), digest(directory, fourth), `${place} -> ${target}`);
    }
  }
});

const two = 'conversions, indexes and schema 1 are the same bytes';
check('skopeo', two)(two, async ({ directory }) => {
  writeLayout(join(directory, 'a'), 'x');
  await ours(directory, 'oci:a:x', 'dir:docker', { format: 'docker' });
  theirs(directory, 'copy', '-q', '--format', 'v2s2', 'oci:a:x', 'dir:docker2');
  const read = (name: string) => readFileSync(join(directory, name, 'manifest.json'), 'utf8');
  equal(read('docker'), read('docker2'));
  await ours(directory, 'dir:docker', 'oci:back:x');
  theirs(directory, 'copy', '-q', 'dir:docker', 'oci:back2:x');
  equal(digest(directory, 'oci:back:x'), digest(directory, 'oci:back2:x'));
  await ours(directory, 'oci:a:x', 'dir:s1', { format: 'schema1' });
  theirs(directory, 'copy', '-q', '--format', 'v2s1', 'oci:a:x', 'dir:s12');
  equal(digest(directory, 'dir:s1'), digest(directory, 'dir:s12'));
  await ours(directory, 'dir:s12', 'oci:from1:x');
  theirs(directory, 'copy', '-q', 'dir:s1', 'oci:from12:x');
  equal(digest(directory, 'oci:from1:x'), digest(directory, 'oci:from12:x'));
  const index = writeIndexLayout(join(directory, 'i'), 'x', [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
  ]);
  await ours(directory, 'oci:i:x', 'dir:all', { select: 'all' });
  theirs(directory, 'copy', '-q', '--all', 'dir:all', 'oci:all2:x');
  equal(
    JSON.parse(readFileSync(join(directory, 'all2/index.json'), 'utf8')).manifests[0].digest,
    index.digest,
  );
  await ours(directory, 'oci:i:x', 'dir:list', { select: 'all', format: 'docker' });
  theirs(directory, 'copy', '-q', '--all', '--format', 'v2s2', 'oci:i:x', 'dir:list2');
  equal(read('list'), read('list2'));
});

const three = 'layers that one encrypts the other decrypts';
check('skopeo', three)(three, async ({ directory }) => {
  const image = writeLayout(join(directory, 'a'), 'x');
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  writeFileSync(join(directory, 'pub'), pair.publicKey);
  writeFileSync(join(directory, 'key'), pair.privateKey);
  const surroundings = { workingDirectory: directory, environment: process.env };
  const encryptor = await openEncryptor(['jwe:pub'], surroundings);
  const decryptor = await openDecryptor(['key'], surroundings);
  await ours(directory, 'oci:a:x', 'oci:mine:x', { encryptor, encryptLayers: [] });
  theirs(directory, 'copy', '-q', '--encryption-key', 'jwe:pub', 'oci:a:x', 'oci:theirs:x');
  theirs(directory, 'copy', '-q', '--decryption-key', 'key', 'oci:mine:x', 'oci:opened:x');
  await ours(directory, 'oci:theirs:x', 'oci:opened2:x', { decryptor });
  for (const name of ['opened', 'opened2'])
    deepEqual(
      JSON.parse(theirs(directory, 'inspect', `oci:${name}:x`)).Layers,
      image.layers.map((layer) => layer.digest),
    );
});

const four = 'umoci unpacks what we wrote to the tree that it was made of';
const four_test = process.getuid?.() === 0 ? check('umoci', four) : test.skip;
if (process.getuid?.() !== 0) console.log(`SKIP ${four}: it needs root`);
four_test(four, async ({ directory }) => {
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, 'bin'), { recursive: true });
  writeFileSync(join(tree, 'bin/tool'), 'tool');
  chmodSync(join(tree, 'bin/tool'), 0o4755);
  linkSync(join(tree, 'bin/tool'), join(tree, 'bin/again'));
  symlinkSync('/bin/tool', join(tree, 'link'));
  utimesSync(join(tree, 'bin/tool'), 1e9, 1e9);
  execFileSync('tar', ['-C', tree, '--sort=name', '-cf', join(directory, 'tree.tar'), '.']);
  await ours(directory, 'tarball:tree.tar', 'oci:out:x');
  execFileSync('umoci', ['unpack', '--image', 'out:x', 'bundle'], { cwd: directory, stdio: 'pipe' });
  deepEqual(describe(join(directory, 'bundle/rootfs')), describe(tree));
});

function describe(root: string): unknown[] {
  return readdirSync(root, { recursive: true })
    .map(String)
    .toSorted()
    .map((name) => {
      const path = join(root, name);
      const { mode, uid, gid, nlink, mtimeMs } = lstatSync(path);
      const link = (mode & 0o170000) === 0o120000 ? readlinkSync(path) : '';
      const isDirectory = (mode & 0o170000) === 0o040000;
      return [name, mode, uid, gid, isDirectory ? 0 : nlink, link, Math.floor(mtimeMs / 1000)];
    });
}

test.run();
