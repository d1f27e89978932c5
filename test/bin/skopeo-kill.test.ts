import { deepEqual, equal, match } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { seedImage, startTestRegistry, type TestRegistry } from '../support/registry.ts';

const test = suite<{ directory: string; registry: TestRegistry }>('skopeo, interrupted');
test.before.each(async (state) => {
  state.directory = mkdtempSync(join(tmpdir(), 'kill-'));
  state.registry = await startTestRegistry();
  writeFileSync(join(state.directory, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  await seedImage(state.registry, 'app', '1', ['small', Buffer.alloc(3_000_000, 'x'), 'last']);
});
test.after.each(async ({ directory, registry }) => {
  await registry[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

function start(directory: string, ...words: string[]) {
  const tool = new URL('../../bin/skopeo.ts', import.meta.url).pathname;
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', tool, '--policy', join(directory, 'policy.json'), ...words],
    {
      cwd: directory,
      env: { PATH: process.env.PATH, HOME: directory, TMPDIR: directory },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, stderr }));
  return { child, ended };
}

const SIGNALS = [
  ['SIGKILL', null, ['oci:out:x', 'dir:plain', 'docker-archive:out.docker.tar:app:1']],
  ['SIGINT', 130, ['oci:out:x', 'oci-archive:out.tar']],
  ['SIGTERM', 143, ['dir:plain']],
] as const;

for (const [signal, code, places] of SIGNALS)
  test(`${signal} in the middle leaves no image, and the same command succeeds afterwards`, async ({
    directory,
    registry,
  }) => {
    const from = `docker://${registry.address}/app:1`;
    for (const to of places) {
      registry.faults.clear();
      registry.faults.add({ method: 'GET', url: /blobs\/sha256/, skip: 1, stallAt: 1000 });
      const words = ['copy', '--src-tls-verify=false', from, to];
      const first = start(directory, ...words);
      while (registry.faults.requests(/^GET .*blobs/).length < 2 && first.child.exitCode === null)
        await new Promise((resolve) => setTimeout(resolve, 20));
      await new Promise((resolve) => setTimeout(resolve, 100));
      first.child.kill(signal);
      const ended = await first.ended;
      equal(ended.code, code, ended.stderr);
      if (signal !== 'SIGKILL') {
        match(ended.stderr, new RegExp(`interrupted by ${signal}`));
        deepEqual(
          readdirSync(directory).filter((name) => name.startsWith('slipway-') || name.includes('.tmp-')),
          [],
          `${to} left temporary files`,
        );
      }
      for (const visible of ['out/index.json', 'plain/manifest.json', 'out.tar', 'out.docker.tar'])
        if (visible.startsWith(to.split(':')[1] as string))
          equal(existsSync(join(directory, visible)), false, visible);
      registry.faults.clear();
      const second = await start(directory, ...words).ended;
      equal(second.code, 0, second.stderr);
      if (to.startsWith('oci:'))
        deepEqual(readdirSync(join(directory, 'out')).toSorted(), ['blobs', 'index.json', 'oci-layout']);
    }
  });

test.run();
