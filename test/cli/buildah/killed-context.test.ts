import { deepEqual, equal } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';

const test = suite('builds that are killed while they fetch');
const base = mkdtempSync(join(tmpdir(), 'killed-context-'));
const [temporary, context] = [join(base, 'tmp'), join(base, 'context')];
for (const path of [temporary, context]) mkdirSync(path);
writeFileSync(join(context, 'Containerfile'), 'FROM scratch\nLABEL a=b\n');
const storage = ['--root', join(base, 'root'), '--runroot', join(base, 'run'), '--storage-driver', 'vfs'];
const env = { ...process.env, TMPDIR: temporary, HOME: base, XDG_RUNTIME_DIR: base };
const words = (...more: string[]) => [...storage, 'build', '-q', ...more];
const server = createServer((_request, response) => void response.write('x'));
test.after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(base, { recursive: true, force: true });
});

/** Kills a build as soon as it has written something temporary. */
async function killed(args: readonly string[], stdin: 'pipe' | 'ignore'): Promise<number> {
  const child = spawn('bin/buildah', args, { env, stdio: [stdin, 'ignore', 'ignore'] });
  child.stdin?.write('what never ends');
  for (let attempt = 0; attempt < 3000 && readdirSync(temporary).length === 0; attempt += 1) await sleep(20);
  await sleep(100);
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await ended;
  return readdirSync(temporary).length;
}

test('the next build takes away what a killed one had of its context or of a download', async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/context.tar`;
  const adding = join(base, 'adding');
  writeFileSync(adding, `FROM scratch\nADD ${url} /\n`);
  for (const [args, stdin] of [
    [words('-'), 'pipe'],
    [words(url), 'ignore'],
    [words('-f', adding, context), 'ignore'],
  ] as const) {
    equal((await killed(args, stdin)) > 0, true, args.join(' '));
    equal(spawnSync('bin/buildah', words(context), { env, stdio: 'ignore' }).status, 0);
    deepEqual(readdirSync(temporary), [], args.join(' '));
  }
});

test.run();
