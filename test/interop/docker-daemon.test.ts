// A real Docker engine: images go into it and come out of it again.
import { deepEqual, equal, match } from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import { type WrittenImage, writeLayout } from '../support/layout.ts';
import { findPeer, ours, run } from './sign/peers.ts';

const dockerd =
  process.getuid?.() === 0 ? findPeer('dockerd', 'SLIPWAY_PEER_DOCKERD', ['--version']) : undefined;
const docker = findPeer('docker', 'SLIPWAY_PEER_DOCKER', ['--version'], /Docker version/);
const START_LIMIT_MS = 40_000;

interface Engine extends AsyncDisposable {
  readonly directory: string;
  readonly host: string;
}

/** An engine with storage, state and socket of its own, that touches no network. */
async function startEngine(program: string): Promise<Engine> {
  const directory = mkdtempSync(join(tmpdir(), 'sl-dockerd-'));
  const at = (name: string) => join(directory, name);
  const socket = at('s');
  const child = spawn(
    program,
    [
      ...['--iptables=false', '--ip6tables=false', '--bridge=none', '--storage-driver=vfs'],
      ...[
        '--data-root',
        at('data'),
        '--exec-root',
        at('exec'),
        '--pidfile',
        at('pid'),
        '-H',
        `unix://${socket}`,
      ],
    ],
    { stdio: 'ignore' },
  );
  const dispose = () => stop(child, directory);
  try {
    await answers(child, `unix://${socket}`);
  } catch (error) {
    await dispose();
    throw error;
  }
  return { directory, host: `unix://${socket}`, [Symbol.asyncDispose]: dispose };
}

async function answers(child: ChildProcess, host: string): Promise<void> {
  for (const start = Date.now(); Date.now() - start < START_LIMIT_MS; await sleep(200)) {
    if (child.exitCode !== null) throw new Error(`dockerd ended with ${child.exitCode}`);
    if (
      existsSync(host.slice('unix://'.length)) &&
      (await run(docker as string, ['-H', host, 'info'])).code === 0
    )
      return;
  }
  throw new Error('dockerd does not answer');
}

async function stop(child: ChildProcess, directory: string): Promise<void> {
  if (child.exitCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
  rmSync(directory, { recursive: true, force: true });
}

const name = 'images go into an engine and come out of it again';
const missing = !dockerd || !docker ? 'needs root, dockerd and docker' : undefined;
if (missing) console.log(`SKIP ${name}: ${missing}`);
(missing ? test.skip : test)(name, async () => {
  await using engine = await startEngine(dockerd as string);
  const { directory, host } = engine;
  const image: WrittenImage = writeLayout(join(directory, 'image'), 'x');
  const env = { HOME: directory };
  const skopeo = async (...words: string[]) => {
    const { code, output } = await ours('skopeo', ['--insecure-policy', ...words], env);
    equal(code, 0, output);
    return output;
  };
  const layout = `oci:${join(directory, 'image')}:x`;
  await skopeo('copy', '--dest-daemon-host', host, layout, 'docker-daemon:example.test/app:1');
  const asked = await run(docker as string, ['-H', host, 'inspect', 'example.test/app:1']);
  equal(asked.code, 0, asked.output);
  const [known] = JSON.parse(asked.output) as { Id: string; RootFS: { Layers: string[] } }[];
  deepEqual([known?.Id, known?.RootFS.Layers], [image.configDigest, image.diffIds]);
  for (const [at, reference] of ['example.test/app:1', known?.Id].entries()) {
    const out = join(directory, `out${at}`);
    await skopeo('copy', '--src-daemon-host', host, `docker-daemon:${reference}`, `dir:${out}`);
    const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'));
    deepEqual(
      [manifest.config.digest, manifest.layers.map((layer: { digest: string }) => layer.digest)],
      [image.configDigest, image.diffIds],
    );
  }
  match(
    await skopeo('inspect', '--daemon-host', host, 'docker-daemon:example.test/app:1'),
    /"Name": "example.test\/app"/,
  );
  const none = ['copy', '--src-daemon-host', host, 'docker-daemon:none:1', `dir:${join(directory, 'none')}`];
  const failed = await ours('skopeo', ['--insecure-policy', ...none], env);
  equal(failed.code, 1);
  match(failed.output, /loading image from docker engine: reference does not exist/);
});

test.run();
