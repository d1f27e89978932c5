// Podman's image commands and ours over one store: what they print must be the same, byte by byte.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { buildah } from '../../../bin/buildah.ts';
import { slipway } from '../../../bin/slipway.ts';
import { runCaptured } from '../../support/tool.ts';
import { missing, type Places, placesIn } from '../storage/peers.ts';

const reason = missing('podman');
if (reason) console.log(`SKIP podman image commands: ${reason}`);
const test = suite('image commands beside podman');
const it = reason ? test.skip : test;

// Podman refuses paths with capital letters, which mkdtemp makes.
const directory = join(tmpdir(), `slipway-podman-${process.pid}`);
const built = placesIn(join(directory, 'built'), 'vfs');
const storeFlags = ({ graphRoot, runRoot, driver }: Places) => [
  ...['--root', graphRoot, '--runroot', runRoot],
  ...['--storage-driver', driver],
];

interface Outcome {
  readonly failed: boolean;
  readonly stdout: string;
}

function theirs(places: Places, words: readonly string[]): Outcome {
  const done = spawnSync('podman', [...storeFlags(places), '--cgroup-manager', 'cgroupfs', ...words], {
    cwd: directory,
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { failed: done.status !== 0, stdout: done.stdout };
}

async function ours(places: Places, words: readonly string[], tool = slipway): Promise<Outcome> {
  const environment = { HOME: directory, PATH: process.env.PATH, TMPDIR: directory };
  const done = await runCaptured(tool, [...storeFlags(places), ...words], {
    workingDirectory: directory,
    environment,
  });
  return { failed: done.code !== 0, stdout: done.stdout };
}

test.before(async () => {
  if (reason) return;
  mkdirSync(join(directory, 'context/d'), { recursive: true });
  writeFileSync(join(directory, 'context/a'), 'hello\n');
  writeFileSync(join(directory, 'context/d/1'), '1\n');
  // Years ago, so that their age in words is the same for both.
  for (const [seconds, name, text] of [
    [1_100_000_000, 'localhost/one:latest', 'FROM scratch\nCOPY a /x/a\nLABEL x=y\nENV A=b\n'],
    [1_200_000_000, 'reg.example.com/team/two:v1', 'FROM localhost/one\nCOPY d /d\nLABEL z=1\n'],
    [
      1_300_000_000,
      'quay.io/x/three',
      'FROM reg.example.com/team/two:v1\nCOPY d/1 /x/a\nCOPY a /etc/hosts\n',
    ],
  ] as const) {
    const file = join(directory, 'context/Containerfile');
    writeFileSync(file, text);
    const words = ['build', '-q', '--layers', '--timestamp', String(seconds), '-t', name];
    const made = await ours(built, [...words, join(directory, 'context')], buildah);
    assert.equal(made.failed, false);
  }
  await ours(built, ['tag', 'localhost/one', 'reg.example.com/one:2']);
});
test.after(() => rmSync(directory, { recursive: true, force: true }));

for (const line of [
  'images',
  'images -a',
  'images -q --no-trunc',
  'images --digests --history',
  'images --sort size -n',
  'images --sort repository',
  'images --format json',
  'images --format {{.ID}}:{{.Repository}}:{{.Tag}}:{{.Size}}:{{.VirtualSize}}:{{.Labels}}:{{.RepoDigests}}',
  'images one',
  'images nothere',
  'images -f dangling=true',
  'images -f label=z --format {{.ID}}',
  'images --sort foo',
  'images -f foo=bar',
  'history quay.io/x/three',
  'history --no-trunc --human=false quay.io/x/three',
  'history -q quay.io/x/three',
  'history nothere',
  'diff localhost/one',
  'diff --format json reg.example.com/team/two:v1',
  'diff nothere',
])
  it(line, async () => {
    const words = line.split(' ');
    const [own, peer] = [await ours(built, words), theirs(built, words)];
    assert.equal(own.stdout, peer.stdout);
    assert.equal(own.failed, peer.failed);
  });

it('image tree', async () => {
  for (const words of [['quay.io/x/three'], ['--whatrequires', 'localhost/one']])
    assert.equal(
      (await ours(built, ['image-tree', ...words])).stdout,
      theirs(built, ['image', 'tree', ...words]).stdout,
    );
});

it('diff: two images, in an order of our own', async () => {
  const words = ['diff', 'quay.io/x/three', 'localhost/one'];
  const sorted = ({ stdout }: Outcome) => stdout.split('\n').sort();
  assert.deepEqual(sorted(await ours(built, words)), sorted(theirs(built, words)));
});

/** Sorted: storage of several ages orders the names of an image differently. */
function namesIn(places: Places): readonly string[] {
  return theirs(places, ['images', '-a', '--format', '{{.ID}} {{.Repository}}:{{.Tag}}'])
    .stdout.split('\n')
    .sort();
}

for (const line of [
  'rmi localhost/one',
  'rmi --force quay.io/x/three',
  'rmi -a',
  'rmi --no-prune quay.io/x/three',
  'rmi -i nothere',
  'rmi nothere localhost/one',
  'tag localhost/one x quay.io/y:3',
  'tag nothere x',
  'untag localhost/one',
  'untag localhost/one foo',
])
  it(`${line}: the same left in the store`, async () => {
    const places = [1, 2].map((at) => placesIn(join(directory, `copy${at}`), 'vfs'));
    for (const { graphRoot } of places)
      cpSync(built.graphRoot, graphRoot, {
        recursive: true,
        preserveTimestamps: true,
        verbatimSymlinks: true,
        // Podman's own database knows where it is.
        filter: (path) => !path.includes('/libpod'),
      });
    const [first, second] = places as [Places, Places];
    const words = line.split(' ');
    const [own, peer] = [await ours(first, words), theirs(second, words)];
    assert.equal(own.stdout, peer.stdout);
    assert.equal(own.failed, peer.failed);
    assert.deepEqual(namesIn(first), namesIn(second));
    for (const { graphRoot } of places) rmSync(graphRoot, { recursive: true, force: true });
  });

it('save: the same archive', async () => {
  const names = ['localhost/one', 'extra:1', 'other'];
  assert.equal((await ours(built, ['save', '-q', '-o', 'ours.tar', ...names])).failed, false);
  assert.equal(theirs(built, ['save', '-q', '-o', 'theirs.tar', ...names]).failed, false);
  assert.ok(readFileSync(join(directory, 'ours.tar')).equals(readFileSync(join(directory, 'theirs.tar'))));
});

it('load and import: the same names and ids', async () => {
  const places = [1, 2].map((at) => placesIn(join(directory, `load${at}`), 'vfs'));
  const [first, second] = places as [Places, Places];
  spawnSync('tar', ['-cf', 'tree.tar', '-C', 'context', 'a', 'd'], { cwd: directory });
  for (const words of [
    ['load', '-q', '-i', 'theirs.tar'],
    ['import', '-q', '-c', 'CMD=/bin/sh', '-c', 'LABEL a=b', '-m', 'hi', 'tree.tar', 'made'],
    ['import', 'nothere.tar'],
  ]) {
    const [own, peer] = [await ours(first, words), theirs(second, words)];
    assert.equal(own.stdout, peer.stdout);
    assert.equal(own.failed, peer.failed);
  }
  assert.deepEqual(namesIn(first), namesIn(second));
});

test.run();
