import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
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
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import { readStorageConfig, withStorageFlags } from '../../../config/storage.ts';
import { ifThere } from '../../../errors.ts';
import type { Store } from '../../../store/storage/contract.ts';
import { openStore } from '../../../store/storage/open.ts';
import { makeRootfs } from '../../support/rootfs.ts';

const test = suite('builds that are killed, and builds at once');
const base = mkdtempSync(join(tmpdir(), 'killed-build-'));
const [root, runRoot, temporary, context] = ['root', 'run', 'tmp', 'context'].map((name) =>
  join(base, name),
) as [string, string, string, string];
const isRoot = process.geteuid?.() === 0;
const podman = spawnSync('podman', ['--version']).status === 0;
if (!isRoot) console.log('SKIP killed builds: RUN in chroot isolation needs root here');
if (!podman) console.log('SKIP podman beside builds: podman is not installed');
const onlyRoot = isRoot ? test : test.skip;
process.on('exit', () => {
  for (const point of mountsBelow(base)) spawnSync('umount', ['-l', point]);
  rmSync(base, { recursive: true, force: true });
});

const KILLS = 50;
const AT_ONCE = 4;
const MARKER = `marker-${process.pid}`;
const FILE = `FROM scratch AS base
COPY rootfs/ /
FROM base AS one
ARG N
RUN --mount=type=cache,target=/cache echo $N >> /cache/log; mkdir -p /d/$N; sleep 0.1; echo ${MARKER}$N > /d/$N/f
FROM base
ARG N
COPY --from=one /d /d
COPY files /files
RUN --mount=type=bind,from=one,target=/one --mount=type=bind,source=files,target=/s,rw cat /one/d/$N/f > /r; touch /s/new
ENV N=$N`;

const environment = { ...process.env, TMPDIR: temporary, HOME: base, XDG_CACHE_HOME: join(base, 'cache') };
const storage = ['--root', root, '--runroot', runRoot, '--storage-driver', 'overlay'];

function makeContext(): void {
  for (const directory of [temporary, join(context, 'files')]) mkdirSync(directory, { recursive: true });
  makeRootfs(join(context, 'rootfs'), { commands: ['sh', 'cat', 'mkdir', 'touch', 'sleep'] });
  for (let at = 0; at < 50; at += 1) writeFileSync(join(context, 'files', `f${at}`), `${at}\n`.repeat(100));
  writeFileSync(join(context, 'Containerfile'), FILE);
}

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

function startBuild(...words: readonly string[]) {
  const flags = ['build', '--layers', '--jobs', '2', '--isolation', 'chroot', '--network', 'host', '-q'];
  return spawn('bin/buildah', [...storage, ...flags, ...words], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** @param killAfterMs undefined: it ends by itself */
async function build(name: string, killAfterMs?: number): Promise<Ended> {
  const child = startBuild('--build-arg', `N=${name}`, '-t', `killed/${name}`, context);
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  return { code, output: Buffer.concat(chunks).toString() };
}

async function atOnce<T>(count: number, limit: number, action: (at: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: limit }, async () => {
      for (let at = next++; at < count; at = next++) results[at] = await action(at);
    }),
  );
  return results;
}

async function withStore<T>(action: (store: Store) => Promise<T>): Promise<T> {
  const config = withStorageFlags(await readStorageConfig({ environment: {} }), {
    root,
    runRoot,
    driver: 'overlay',
  });
  await using store = await openStore(config);
  return await action(store);
}

/** Every image is whole: each of its layers gives the bytes that its digest names, and podman can read it. */
async function checkImages(): Promise<readonly string[]> {
  const names = await withStore(async (store) => {
    const checked = new Set<string>();
    const images = await store.images.list();
    for (const image of images)
      for (let id = image.topLayer; id !== undefined && !checked.has(id); ) {
        checked.add(id);
        const layer = await store.layers.get(id);
        ok(layer, `layer ${id} of image ${image.id} is missing`);
        const hash = createHash('sha256');
        for await (const chunk of (await store.layers.diff(id)).stream) hash.update(chunk as Buffer);
        equal(`sha256:${hash.digest('hex')}`, layer.diffId, `layer ${id}`);
        id = layer.parent;
      }
    return images.flatMap((image) => image.names);
  });
  if (podman) {
    const listed = runPodman(['images', '-a', '--format', '{{.Id}}']);
    const ids = [...new Set(listed.split('\n').filter(Boolean))];
    if (ids.length > 0) runPodman(['image', 'inspect', ...ids, '--format', '{{.Id}}']);
  }
  return names;
}

function runPodman(words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('podman', [...storage, ...words], {
    encoding: 'utf8',
    env: environment,
  });
  equal(status, 0, `podman ${words[0]}: ${stderr}`);
  return stdout;
}

/** Mount points in the order of mounting, last first. */
function mountsBelow(path: string): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((point) => point.startsWith(`${path}/`))
    .reverse();
}

function commandsStillRunning(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(MARKER);
      } catch {
        return false;
      }
    });
}

async function checkNothingIsLeft(): Promise<void> {
  await withStore(async (store) => deepEqual(await store.containers.list(), [], 'containers are left'));
  deepEqual(
    mountsBelow(base).filter((point) => /\/merged$|\/tmp\//.test(point)),
    [],
    'mounts are left',
  );
  deepEqual(
    readdirSync(temporary).filter((name) => name.startsWith('slipway-')),
    [],
    'temporary directories are left',
  );
  deepEqual(readdirSync(join(root, 'slipway-builds')), [], 'journals are left');
  deepEqual(commandsStillRunning(), [], 'commands are left');
  const layers = await withStore((store) => store.layers.list());
  const known = new Set(layers.map(({ id }) => id));
  const directories = readdirSync(join(root, 'overlay')).filter((name) => /^[0-9a-f]{64}$/.test(name));
  deepEqual(
    directories.filter((name) => !known.has(name)),
    [],
    'directories of no layer are left',
  );
}

onlyRoot(
  `${KILLS} builds killed at random moments leave a store that is whole, and the next one cleans up`,
  async () => {
    makeContext();
    const started = performance.now();
    equal((await build('first')).code, 0);
    const tookMs = performance.now() - started;
    const ended = await atOnce(KILLS, AT_ONCE, async (at) => {
      const result = await build(`k${at}`, Math.random() * tookMs * 1.5);
      if (at % 12 === 0 && podman) runPodman(['images', '-a', '-q']);
      return result;
    });
    const killed = ended.filter(({ code }) => code === null);
    ok(killed.length >= KILLS / 3, `only ${killed.length} of ${KILLS} builds were killed in time`);
    for (const { code, output } of ended) ok(code === null || code === 0, output);
    const last = await build('last');
    equal(last.code, 0, last.output);
    await checkNothingIsLeft();
    const names = await checkImages();
    for (const [at, { code }] of ended.entries())
      if (code === 0) ok(names.includes(`localhost/killed/k${at}:latest`), `image k${at} is lost`);
    match((await build('last')).output, /^[0-9a-f]{64}\n$/);
  },
);

onlyRoot('8 builds at once with rmi and podman beside them lose nothing', async () => {
  if (!existsSync(context)) makeContext();
  let busy = true;
  const beside = (async () => {
    const removed = new Set<string>();
    while (busy) {
      const names = await withStore(async (store) =>
        (await store.images.list()).flatMap((image) => image.names.filter((name) => /\/k\d+:/.test(name))),
      );
      const [name] = names.filter((one) => !removed.has(one));
      if (name !== undefined) {
        removed.add(name);
        spawnSync('bin/buildah', [...storage, 'rmi', name], { env: environment });
      }
      if (podman) runPodman(['images', '-a', '-q']);
      await sleep(20);
    }
  })();
  const ended = await atOnce(8, 8, (at) => build(`b${at}`));
  busy = false;
  await beside;
  for (const { code, output } of ended) equal(code, 0, output);
  const names = await checkImages();
  for (let at = 0; at < 8; at += 1)
    ok(names.includes(`localhost/killed/b${at}:latest`), `image b${at} is lost`);
  await checkNothingIsLeft();
  if (podman)
    for (let at = 0; at < 8; at += 1) {
      const directory = runPodman(['image', 'mount', `localhost/killed/b${at}`]).trim();
      try {
        equal(readFileSync(join(directory, 'r'), 'utf8'), `${MARKER}b${at}\n`);
      } finally {
        runPodman(['image', 'umount', `localhost/killed/b${at}`]);
      }
    }
});

/** The directory in memory that holds this test's secret. */
function secretDirectory(): string | undefined {
  return readdirSync('/dev/shm')
    .map((name) => join('/dev/shm', name))
    .find(
      (path) => ifThere(() => readFileSync(join(path, 'secret'), 'utf8'), 'ENOENT', 'ENOTDIR') === MARKER,
    );
}

onlyRoot('the secret of a killed build goes with the next build', async () => {
  if (!existsSync(context)) makeContext();
  const [secret, file] = [join(base, 'secret'), join(base, 'Containerfile')];
  writeFileSync(secret, MARKER);
  const run = 'RUN --mount=type=secret,id=s cat /run/secrets/s > /dev/null; sleep 60';
  writeFileSync(file, `FROM scratch\nCOPY rootfs/ /\n${run}\n`);
  const child = startBuild('--secret', `id=s,src=${secret}`, '-f', file, context);
  const ended = new Promise((resolve) => child.once('close', resolve));
  while (child.exitCode === null && secretDirectory() === undefined) await sleep(20);
  ok(secretDirectory(), 'the build ended before it had a secret');
  child.kill('SIGKILL');
  await ended;
  ok(secretDirectory());
  equal((await build('last')).code, 0);
  equal(secretDirectory(), undefined);
  await checkNothingIsLeft();
});

test.run();
