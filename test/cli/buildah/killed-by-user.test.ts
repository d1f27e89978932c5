// Ctrl-C, SIGTERM and a full disk in the middle of a build: one line, and nothing is left.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('builds that a user or a full disk ends');
const isRoot = process.geteuid?.() === 0;
if (!isRoot) console.log('SKIP builds that are ended: RUN and mounting a small file system need root here');
const onlyRoot = isRoot ? test : test.skip;

const base = mkdtempSync(join(tmpdir(), 'ended-build-'));
const at = (...names: string[]) => join(base, ...names);
process.on('exit', () => {
  for (const point of mountsBelow(base)) spawnSync('umount', ['-l', point]);
  rmSync(base, { recursive: true, force: true });
});

const MARKER = `ended-${process.pid}`;
const environment = { ...process.env, TMPDIR: at('tmp'), HOME: base };

function words(root: string, ...rest: string[]): string[] {
  return ['--root', root, '--runroot', at('run'), '--storage-driver', 'overlay', ...rest];
}

function buildah(root: string, ...rest: string[]) {
  return spawnSync('bin/buildah', words(root, ...rest), { env: environment, encoding: 'utf8' });
}

function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${directory}/`))
    .reverse();
}

function processesWith(marker: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return line.includes(marker) && !line.includes('test.ts');
    } catch {
      return false; // it ended meanwhile
    }
  });
}

/** What a build may not leave: working containers, images, mounts, processes, temporary files. */
function assertNothingLeft(root: string): void {
  assert.equal(buildah(root, 'containers', '--all', '--quiet').stdout, '');
  assert.equal(buildah(root, 'images', '--all', '--quiet').stdout, '');
  assert.deepEqual(
    mountsBelow(base).filter((point) => point !== root && point !== join(root, 'overlay')),
    [],
  );
  assert.deepEqual(processesWith(MARKER), []);
  assert.deepEqual(readdirSync(at('tmp')), []);
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  onlyRoot(`${signal} during a RUN`, async () => {
    for (const name of ['tmp', 'context']) mkdirSync(at(name), { recursive: true });
    makeRootfs(at('context/rootfs'), { commands: ['sh', 'sleep'] });
    writeFileSync(
      at('context/Containerfile'),
      `FROM scratch AS one\nCOPY rootfs/ /\nRUN echo ready; sleep 600 # ${MARKER}\nFROM scratch\nCOPY --from=one / /\n`,
    );
    const child = spawn(
      'bin/buildah',
      words(at('root'), 'build', '--isolation', 'chroot', '-t', 'never', at('context')),
      { env: environment, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    while (!out.includes('ready\n')) await sleep(50);
    child.kill(signal);
    assert.equal(await ended, code);
    assert.equal(err.trim().split('\n').length, 1, err);
    assert.match(err, new RegExp(`interrupted by ${signal}`));
    assertNothingLeft(at('root'));
  });

onlyRoot('what a killed `buildah run` had mounted goes with the next one, its sources stay', async () => {
  const root = at('root');
  for (const name of ['tmp', 'source/below']) mkdirSync(at(name), { recursive: true });
  makeRootfs(at('rootfs'), { commands: ['sh', 'sleep', 'cat'] });
  writeFileSync(at('source/below/file'), 'precious');
  const made = buildah(root, 'from', '--isolation', 'chroot', '--name', 'killed', 'scratch');
  assert.equal(made.status, 0, made.stderr);
  assert.equal(buildah(root, 'add', '-q', 'killed', at('rootfs'), '/').status, 0);
  const mount = `type=bind,source=${at('source/below')},target=/m`;
  const run = words(
    root,
    'run',
    '--mount',
    mount,
    'killed',
    'sh',
    '-c',
    `cat /m/file; sleep 600 # ${MARKER}`,
  );
  const child = spawn('bin/buildah', run, { env: environment, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => child.on('close', resolve));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.kill('SIGKILL');
  await ended;
  assert.notDeepEqual(readdirSync(at('tmp')), []);
  const again = buildah(root, 'run', '--mount', mount, 'killed', 'cat', '/m/file');
  assert.equal(again.stdout, 'precious', again.stderr);
  assert.equal(buildah(root, 'rm', 'killed').status, 0);
  assertNothingLeft(root);
  assert.equal(readFileSync(at('source/below/file'), 'utf8'), 'precious');
});

onlyRoot('a disk that gets full by one large file, and by many small ones', () => {
  const root = at('small');
  for (const path of [root, at('tmp'), at('large/files')]) mkdirSync(path, { recursive: true });
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', root]).status, 0);
  writeFileSync(at('large/one'), Buffer.alloc(20 << 20, 'x'));
  for (let file = 0; file < 3000; file += 1) writeFileSync(at('large/files', String(file)), 'x'.repeat(5000));
  for (const [source, flag] of [
    ['one', '--layers'],
    ['files', '--layers=false'],
  ] as const) {
    writeFileSync(at('large/Containerfile'), `FROM scratch\nCOPY ${source} /\n`);
    const done = buildah(root, 'build', flag, '-t', 'large', at('large'));
    assert.equal(done.status, 125, flag);
    const lines = done.stderr.trim().split('\n');
    assert.equal(lines.length, 1, done.stderr);
    assert.match(lines[0] ?? '', /^Error: .*no space left on device/i);
    assertNothingLeft(root);
  }
  writeFileSync(at('large/one'), 'small now');
  writeFileSync(at('large/Containerfile'), 'FROM scratch\nCOPY one /\n');
  const again = buildah(root, 'build', '-t', 'large', at('large'));
  assert.equal(again.status, 0, again.stderr);
});

test.run();
