import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import { readContainersConfig } from '../../config/containers.ts';

const test = suite('containers.conf');
let root = '';
test.before.each(() => {
  root = mkdtempSync(join(tmpdir(), 'containers-conf-'));
});
test.after.each(() => rmSync(root, { recursive: true, force: true }));

const write = (path: string, text: string) => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  return join(root, path);
};
const read = (environment: Record<string, string> = {}, uid = 0) =>
  readContainersConfig({ environment: { HOME: join(root, 'home'), ...environment }, uid, systemRoot: root });

test('nothing configured gives the built-in values', async () => {
  const config = await read();
  assert.equal(config.engine.image_build_format, 'oci');
  assert.equal(config.containers.default_capabilities.length, 11);
  assert.deepEqual(config.files, []);
});

test('the first main file alone counts, drop-ins go over it by name', async () => {
  write('usr/share/containers/containers.conf', '[containers]\nhttp_proxy=false\nshm_size="1m"');
  write('etc/containers/containers.conf', '[containers]\nshm_size="2m"');
  write('usr/share/containers/containers.conf.d/50-a.conf', '[engine]\nretry=7');
  write('etc/containers/containers.conf.d/50-a.conf', '[engine]\nretry=8');
  write('etc/containers/containers.conf.d/60-b.conf', '[containers]\nenv=["A=1", {append=true}]');
  write('etc/containers/containers.conf.d/ignored.txt', 'no toml');
  const config = await read();
  assert.equal(config.containers.http_proxy, true);
  assert.equal(config.containers.shm_size, '2m');
  assert.equal(config.engine.retry, 8);
  assert.deepEqual(config.containers.env.slice(1), ['A=1']);
});

test("the user's file comes first; rootless and rootful have drop-ins of their own", async () => {
  write('etc/containers/containers.conf', '[engine]\nruntime="crun"');
  write('home/.config/containers/containers.conf', '[engine]\nruntime="runc"');
  write('etc/containers/containers.rootless.conf.d/1.conf', '[engine]\nretry=1');
  write('etc/containers/containers.rootless.conf.d/1000/2.conf', '[containers]\ntz="UTC"');
  write('etc/containers/containers.rootful.conf.d/1.conf', '[engine]\nretry=2');
  const user = await read({}, 1000);
  assert.deepEqual([user.engine.runtime, user.engine.retry, user.containers.tz], ['runc', 1, 'UTC']);
  assert.equal((await read()).engine.retry, 2);
});

test('CONTAINERS_CONF replaces everything, CONTAINERS_CONF_OVERRIDE comes last', async () => {
  write('etc/containers/containers.conf', '[engine]\nretry=9');
  const only = write('only.conf', '[containers]\ndefault_capabilities=["KILL"]\n[engine]\nretry=4');
  const override = write('over.conf', '[engine]\nretry=5');
  const config = await read({ CONTAINERS_CONF: only, CONTAINERS_CONF_OVERRIDE: override });
  assert.deepEqual(config.containers.default_capabilities, ['CAP_KILL']);
  assert.equal(config.engine.retry, 5);
  await assert.rejects(read({ CONTAINERS_CONF: '/nowhere/x.conf' }), { code: 'not-found' });
});

const BAD: readonly (readonly [string, string])[] = [
  ['TOML error', '[containers\n'],
  ['wrong type', '[containers]\nhttp_proxy="yes"'],
  ['list of numbers', '[containers]\nenv=[1]'],
  ['unknown list attribute', '[containers]\nenv=[{prepend=true}]'],
  ['bad umask', '[containers]\numask="9"'],
  ['bad ulimit', '[containers]\ndefault_ulimits=["nofile"]'],
  ['bad pull policy', '[engine]\npull_policy="sometimes"'],
];
for (const [reason, text] of BAD) {
  test(`refused: ${reason}`, async () => {
    write('etc/containers/containers.conf', text);
    await assert.rejects(read(), { code: 'bad-config' });
  });
}

test('unknown keys are told, not fatal', async () => {
  write('etc/containers/containers.conf', '[containers]\nfuture=1\n[later]\nx=1');
  const keys: string[] = [];
  await readContainersConfig({
    environment: { HOME: root },
    uid: 0,
    systemRoot: root,
    onUnknownKey: (key) => keys.push(key),
  });
  assert.deepEqual(keys, ['containers.future', 'later']);
});

test.run();
