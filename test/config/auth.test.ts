import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import {
  findCredentials,
  removeAllCredentials,
  removeCredentials,
  storeCredentials,
} from '../../config/auth.ts';
import { requireAuthFile } from '../../config/auth-file.ts';

const entry = (pair: string) => ({ auth: Buffer.from(pair).toString('base64') });

async function home(files: Record<string, unknown>, environment: Record<string, string> = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'slipway-auth-'));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), typeof content === 'string' ? content : JSON.stringify(content));
    if (name.startsWith('bin/')) await chmod(join(directory, name), 0o755);
  }
  return {
    path: (name: string) => join(directory, name),
    environment: {
      HOME: directory,
      XDG_RUNTIME_DIR: join(directory, 'run'),
      PATH: `${directory}/bin:/usr/bin:/bin`,
      ...environment,
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

const AUTHS = {
  auths: {
    'quay.io': entry('host:1'),
    'quay.io/ns': entry('ns:2'),
    'quay.io/ns/repo': entry('repo:p:3'),
    'https://old.example/v1/': entry('old:4'),
    'https://index.docker.io/v1/': entry('hub:5'),
    'empty.example': {},
    'token.example': { ...entry('<token>:'), identitytoken: 'refresh' },
    'broken.example': { auth: '!!!' },
  },
};

for (const [key, expected] of [
  ['quay.io', 'host:1'],
  ['quay.io/other/repo', 'host:1'],
  ['quay.io/ns/other', 'ns:2'],
  ['quay.io/ns/repo', 'repo:p:3'],
  ['quay.io/ns/repo/deeper', 'repo:p:3'],
  ['quay.io/nsx', 'host:1'],
  ['old.example/a', 'old:4'],
  ['docker.io/library/alpine', 'hub:5'],
  ['registry-1.docker.io', 'hub:5'],
  ['empty.example', undefined],
  ['broken.example', undefined],
  ['unknown.example', undefined],
  ['token.example', '<token>::refresh'],
] as const)
  test(`credentials of ${key}`, async () => {
    await using place = await home({ 'run/containers/auth.json': AUTHS });
    const found = await findCredentials(key, place);
    const text =
      found && [found.username, found.password, found.identityToken].filter((part) => part !== undefined);
    assert.equal(text?.join(':'), expected);
  });

for (const [name, file, content] of [
  [
    'auth.json of the runtime directory',
    'run/containers/auth.json',
    { auths: { 'a.example': entry('u:p') } },
  ],
  [
    'auth.json of the configuration',
    '.config/containers/auth.json',
    { auths: { 'a.example': entry('u:p') } },
  ],
  ['Docker config.json', '.docker/config.json', { auths: { 'a.example': entry('u:p') } }],
  ['.dockercfg', '.dockercfg', { 'https://a.example/v1/': entry('u:p') }],
] as const)
  test(`finds credentials in ${name}`, async () => {
    await using place = await home({ [file]: content });
    assert.equal((await findCredentials('a.example/x', place))?.username, 'u');
  });

test('REGISTRY_AUTH_FILE and DOCKER_CONFIG replace the default places', async () => {
  await using place = await home({
    'run/containers/auth.json': AUTHS,
    'my.json': { auths: { 'quay.io': entry('mine:x') } },
    'docker/config.json': { auths: { 'quay.io': entry('docker:x') } },
  });
  const find = async (more: Record<string, string>) =>
    (await findCredentials('quay.io', { environment: { ...place.environment, ...more } }))?.username;
  assert.equal(await find({ REGISTRY_AUTH_FILE: place.path('my.json') }), 'mine');
  assert.equal(await find({ DOCKER_CONFIG: place.path('docker') }), 'docker');
  assert.equal(await find({ REGISTRY_AUTH_FILE: place.path('none.json') }), undefined);
  await assert.rejects(requireAuthFile({ ...place, authFile: place.path('none.json') }), {
    code: 'not-found',
    message: /credential file is not accessible/,
  });
});

test('a file that another program replaced, changed or removed is read again', async () => {
  await using place = await home({ 'run/containers/auth.json': AUTHS });
  const path = place.path('run/containers/auth.json');
  const find = async () => (await findCredentials('r.example', place))?.username;
  const write = (user: string) =>
    writeFile(path, JSON.stringify({ auths: { 'r.example': entry(`${user}:x`) } }));
  for (const user of ['one', 'another', 'third']) {
    await write(user);
    assert.equal(await find(), user);
    assert.equal(await find(), user);
  }
  await rm(path);
  assert.equal(await find(), undefined);
});

test('a malformed file is named', async () => {
  await using place = await home({ 'run/containers/auth.json': '{"auths": ' });
  await assert.rejects(findCredentials('a.example', place), { code: 'bad-config', message: /auth\.json/ });
});

const HELPER = `#!/bin/sh
read -r input || true
case "$1:$input" in
get:good.example) echo '{"ServerURL":"good.example","Username":"helped","Secret":"s"}' ;;
get:token.example) echo '{"Username":"<token>","Secret":"refresh"}' ;;
get:garbage.example) echo 'secret garbage' ;;
get:hang.example) exec sleep 30 ;;
get:fail.example) echo 'the keychain is locked'; exit 1 ;;
store:*|erase:*) echo "$1 $input" >> "$HOME/calls" ;;
list:*) echo '{"good.example":"helped"}' ;;
*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
`;
const HELPED = (host: string) => ({
  'bin/docker-credential-test': HELPER,
  'run/containers/auth.json': { auths: AUTHS.auths, credHelpers: { [host]: 'test' } },
});

for (const [host, expected] of [
  ['good.example', 'helped'],
  ['token.example', ''],
  ['unknown.example', undefined],
] as const)
  test(`credential helper for ${host}`, async () => {
    await using place = await home(HELPED(host));
    const found = await findCredentials(`${host}/x`, place);
    assert.equal(found?.username, expected);
    if (host === 'token.example') assert.equal(found?.identityToken, 'refresh');
  });

for (const [host, message] of [
  ['garbage.example', /not a JSON object/],
  ['hang.example', /killed/],
  ['fail.example', /keychain is locked/],
] as const)
  test(`R07 a helper that misbehaves (${host}) is an error and no fallback`, async () => {
    await using place = await home(HELPED(host));
    await assert.rejects(
      findCredentials(host, { ...place, timeoutMs: 1000 }),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'credential-helper');
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /secret garbage/);
        return true;
      },
    );
  });

test('R07 a missing helper is an error', async () => {
  await using place = await home({ 'run/containers/auth.json': { credHelpers: { 'a.example': 'missing' } } });
  await assert.rejects(findCredentials('a.example', place), {
    code: 'credential-helper',
    message: /missing/,
  });
  await using hostile = await home({ 'run/containers/auth.json': { credHelpers: { 'a.example': '../x' } } });
  await assert.rejects(findCredentials('a.example', hostile), { message: /invalid credential helper name/ });
});

test("Docker's credential store is asked where Docker left its mark", async () => {
  await using place = await home({
    'bin/docker-credential-test': HELPER,
    '.docker/config.json': { credsStore: 'test', auths: { 'good.example': {} } },
  });
  assert.equal((await findCredentials('good.example', place))?.username, 'helped');
  assert.equal(await findCredentials('fail.example', place), undefined);
});

test('helpers of registries.conf come in their order', async () => {
  await using place = await home({ ...HELPED('none'), 'bin/docker-credential-test': HELPER });
  const helpers = ['test', 'containers-auth.json'];
  assert.equal((await findCredentials('good.example', { ...place, helpers }))?.username, 'helped');
  assert.equal((await findCredentials('quay.io', { ...place, helpers }))?.username, 'host');
});

test('stores with mode 0600, keeps what else is in the file, and removes again', async () => {
  await using place = await home({ 'run/containers/auth.json': { ...AUTHS, other: { keep: 1 } } });
  const file = place.path('run/containers/auth.json');
  assert.equal(await storeCredentials('new.example/ns', { username: 'u', password: 'p' }, place), file);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const written = JSON.parse(await readFile(file, 'utf8'));
  assert.deepEqual(written.other, { keep: 1 });
  assert.deepEqual(written.auths['new.example/ns'], entry('u:p'));
  await removeCredentials('new.example/ns', place);
  assert.equal(await findCredentials('new.example/ns', place), undefined);
  await assert.rejects(removeCredentials('new.example/ns', place), { code: 'not-logged-in' });
  await removeAllCredentials(place);
  assert.deepEqual(JSON.parse(await readFile(file, 'utf8')).auths, {});
});

test("Docker's own file keeps Docker's keys", async () => {
  await using place = await home({ 'd.json': { credsStore: 'x', HttpHeaders: { a: 'b' } } });
  const options = { ...place, dockerConfigFile: place.path('d.json') };
  await storeCredentials('docker.io', { username: 'u', password: 'p' }, options);
  assert.deepEqual(JSON.parse(await readFile(place.path('d.json'), 'utf8')), {
    credsStore: 'x',
    HttpHeaders: { a: 'b' },
    auths: { 'https://index.docker.io/v1/': entry('u:p') },
  });
  await assert.rejects(
    storeCredentials('a.example/ns', { username: 'u', password: 'p' }, options),
    /namespaced key/,
  );
});

test('a helper stores and erases', async () => {
  await using place = await home(HELPED('good.example'));
  await storeCredentials('good.example', { username: 'u', password: 'p' }, place);
  await removeCredentials('good.example', place);
  assert.equal(
    await readFile(place.path('calls'), 'utf8'),
    'store {"ServerURL":"good.example","Username":"u","Secret":"p"}\nerase good.example\n',
  );
});

for (const key of ['https://a.example', 'a.example/x@sha256:0', 'a.example/x:tag'])
  test(`refuses the key ${key}`, async () => {
    await using place = await home({});
    await assert.rejects(findCredentials(key, place), { code: 'bad-config' });
  });

test.run();
