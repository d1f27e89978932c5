// The parts of slipway's image commands that need no Podman to compare with.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { suite } from 'uvu';
import { slipway } from '../../../bin/slipway.ts';
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts';
import { tarOf } from '../../support/tar.ts';
import { runCaptured } from '../../support/tool.ts';

interface Context {
  directory: string;
  registry: TestRegistry;
  name: string;
}

const test = suite<Context>('slipway image commands');
const it = process.getuid?.() === 0 ? test : test.skip;
if (process.getuid?.() !== 0) console.log('SKIP slipway image commands: local storage needs root here');

test.before.each(async (context) => {
  context.directory = mkdtempSync(join(tmpdir(), 'slipway-images-'));
  context.registry = await startTestRegistry();
  context.name = `${context.registry.address}/app:1`;
  if (process.getuid?.() !== 0) return;
  const { directory, name } = context;
  writeFileSync(join(directory, 'tree.tar'), tarOf([{ name: 'a', body: 'hello' }]));
  for (const words of [
    ['import', '-q', 'tree.tar', name],
    ['push', '-q', '--tls-verify=false', name],
  ]) {
    const { code, stderr } = await run(context, words, 'seed');
    assert.equal(code, 0, stderr);
  }
});
test.after.each(async ({ registry, directory }) => {
  await registry.close();
  rmSync(directory, { recursive: true, force: true });
});

function run({ directory }: Context, words: readonly string[], root = 'root') {
  const store = ['--root', join(directory, root), '--runroot', join(directory, `${root}-run`)];
  return runCaptured(slipway, [...store, '--storage-driver', 'vfs', ...words], {
    workingDirectory: directory,
    environment: {
      HOME: directory,
      TMPDIR: directory,
      PATH: `${join(directory, 'bin')}${delimiter}${process.env.PATH}`,
    },
  });
}

async function pulled(context: Context): Promise<string> {
  const { code, stdout, stderr } = await run(context, ['pull', '-q', '--tls-verify=false', context.name]);
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

it('pull, images, tag, push, rmi', async (context) => {
  const id = await pulled(context);
  await run(context, ['tag', context.name, `${context.registry.address}/copy:2`]);
  const listed = JSON.parse((await run(context, ['images', '--format', 'json'])).stdout);
  assert.equal(listed.length, 2);
  assert.equal(listed[0].Id, id);
  assert.deepEqual(listed[0].Names, [`${context.registry.address}/copy:2`, context.name]);
  const push = ['push', '-q', '--tls-verify=false', '--digestfile', join(context.directory, 'digest')];
  assert.equal((await run(context, [...push, `${context.registry.address}/copy:2`])).code, 0);
  const { status } = await fetch(
    `${context.registry.url}/v2/copy/manifests/${readFileSync(join(context.directory, 'digest'), 'utf8')}`,
  );
  assert.equal(status, 200);
  const removed = await run(context, ['rmi', '-f', id.slice(0, 12)]);
  assert.deepEqual(removed.stdout.trim().split('\n').at(-1), `Deleted: ${id}`);
  assert.equal((await run(context, ['images', '-q'])).stdout, '');
});

it('pull asks the registry again unless told otherwise', async (context) => {
  const id = await pulled(context);
  await context.registry.close();
  const again = await run(context, ['pull', '-q', '--policy', 'missing', context.name]);
  assert.equal(again.stdout.trim(), id, again.stderr);
  assert.notEqual(
    (await run(context, ['pull', '-q', '--tls-verify=false', '--retry', '0', context.name])).code,
    0,
  );
});

it('push signs in several forms', async (context) => {
  await pulled(context);
  const refused = await run(context, ['push', '--sign-by-sigstore-private-key', 'none', context.name]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /none/);
});

/** An ssh that runs the command here, in another store, and notes what it was asked. */
function fakeSsh({ directory }: Context): void {
  mkdirSync(join(directory, 'bin'), { recursive: true });
  const path = join(directory, 'bin/ssh');
  writeFileSync(path, `#!/bin/sh\necho "$@" >> ${directory}/asked\nshift 2\nexec sh -c "$*"\n`);
  chmodSync(path, 0o755);
}

it('image-scp: there, and back again', async (context) => {
  const { directory, name } = context;
  fakeSsh(context);
  const id = await pulled(context);
  const there = await run(context, [
    'image-scp',
    '--remote-command',
    `cat > ${directory}/sent.tar`,
    name,
    'u@h::',
  ]);
  assert.equal(there.code, 0, there.stderr);
  const command = ['--remote-save-command', `cat ${directory}/sent.tar #`];
  const back = await run(context, ['image-scp', ...command, 'h::app'], 'other');
  assert.equal(back.stdout, `Loaded image: ${name}\n`, back.stderr);
  assert.equal((await run(context, ['images', '-q', '--no-trunc'], 'other')).stdout, `sha256:${id}\n`);
  assert.match(readFileSync(join(directory, 'asked'), 'utf8'), /^-- u@h cat > .*\n-- h cat .* # app\n$/);
});

for (const [name, words, why] of [
  ['two local ends', ['app'], /both ends are local/],
  ['an image behind the target', ['app', 'h::x'], /an image comes first/],
  ['a host that is an option', ['app', '-oProxyCommand=x::'], /is not \[HOST::\]IMAGE|unknown/],
  ['a shell in the name', ['h::app;reboot'], /is not \[HOST::\]IMAGE/],
  ['a shell in the host', ['$(reboot)::app'], /is not \[HOST::\]IMAGE/],
  ['a command there that fails', ['--remote-save-command', 'false', 'h::app'], /false app on h ended with 1/],
] as const)
  it(`image-scp refused: ${name}`, async (context) => {
    fakeSsh(context);
    const { code, stderr } = await run(context, ['image-scp', ...words]);
    assert.notEqual(code, 0);
    assert.match(stderr, why);
  });

it('diff of two references needs both', async (context) => {
  const { code, stderr } = await run(context, ['diff', 'dir:/nowhere']);
  assert.equal(code, 1);
  assert.match(stderr, /give a second one/);
});

test.run();
