import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import { parseUsers } from '../../registry/users.ts';
import { type LoginOptions, type LogoutOptions, login, logout } from '../../transport/login.ts';
import { dockerContext } from '../support/docker-context.ts';
import { startTestRegistry } from '../support/registry.ts';

async function setUp(kind: 'basic' | 'bearer' = 'basic') {
  const directory = await mkdtemp(join(tmpdir(), 'slipway-login-'));
  const authFile = join(directory, 'auth.json');
  const registry = await startTestRegistry({ auth: { kind, users: parseUsers('alice:s3cret') } });
  const lines: string[] = [];
  const context = { docker: dockerContext({ authFile }).docker, print: (line: string) => lines.push(line) };
  return {
    registry,
    authFile,
    lines,
    context,
    login: (options: LoginOptions, name: string | undefined = registry.address) =>
      login(name, context, options),
    logout: (options: LogoutOptions = {}, name: string | undefined = registry.address) =>
      logout(name, context, options),
    [Symbol.asyncDispose]: async () => {
      await registry.close();
      await rm(directory, { recursive: true });
    },
  };
}

const ALICE = { username: 'alice', password: 's3cret' };

for (const kind of ['basic', 'bearer'] as const)
  test(`${kind}: logs in, finds itself logged in, and logs out`, async () => {
    await using place = await setUp(kind);
    const { address } = place.registry;
    await place.login(ALICE);
    await place.login({});
    await place.login({ getLogin: true });
    await place.logout();
    assert.deepEqual(place.lines, [
      'Login Succeeded!',
      `Authenticating with existing credentials for ${address}`,
      `Existing credentials are valid. Already logged in to ${address}`,
      'alice',
      `Removed login credentials for ${address}`,
    ]);
    await assert.rejects(place.logout(), { message: `not logged into ${address}` });
    await assert.rejects(place.login({ getLogin: true }), { message: `not logged into ${address}` });
  });

test('a wrong password is not stored', async () => {
  await using place = await setUp('bearer');
  await assert.rejects(place.login({ username: 'alice', password: 'wrong' }), {
    code: 'unauthorized',
    message: `logging into "${place.registry.address}": invalid username/password`,
  });
  await assert.rejects(readFile(place.authFile), { code: 'ENOENT' });
});

test('stored credentials that no longer work are asked for again', async () => {
  await using place = await setUp();
  await writeFile(
    place.authFile,
    JSON.stringify({
      auths: { [place.registry.address]: { auth: Buffer.from('alice:old').toString('base64') } },
    }),
  );
  const asked: string[] = [];
  await place.login({
    ask: async (prompt, { hidden }) => {
      asked.push(prompt);
      return hidden ? 's3cret' : '';
    },
  });
  assert.deepEqual(asked, ['Username (alice): ', 'Password: ']);
  assert.deepEqual(place.lines.slice(1), [
    'Existing credentials are invalid, please enter valid username and password',
    'Login Succeeded!',
  ]);
});

for (const [name, options, message] of [
  ['stdin and password', { ...ALICE, passwordFromStdin: 'x' }, /can't specify both/],
  ['stdin without user', { passwordFromStdin: 'x' }, /must provide --username/],
  ['nobody to ask', {}, /cannot prompt for username/],
] as const)
  test(`refuses ${name}`, async () => {
    await using place = await setUp();
    await assert.rejects(place.login(options), { code: 'bad-option', message });
  });

test('a password from stdin, a URL as name, and a repository as key', async () => {
  await using place = await setUp();
  const { address } = place.registry;
  await place.login(
    { username: 'alice', passwordFromStdin: 's3cret\n', verbose: true },
    `http://${address}/path`,
  );
  await place.login({ ...ALICE, acceptRepositories: true }, `${address}/ns/repo`);
  assert.deepEqual(Object.keys(JSON.parse(await readFile(place.authFile, 'utf8')).auths), [
    address,
    `${address}/ns/repo`,
  ]);
  assert.equal(place.lines[0], `Used:  ${place.authFile}`);
  await assert.rejects(
    place.login({ ...ALICE, acceptRepositories: true }, `${address}/ns/repo:tag`),
    /tag or digest/,
  );
});

test('logout --all empties the file', async () => {
  await using place = await setUp();
  await place.login(ALICE);
  await assert.rejects(place.logout({ all: true }), /--all takes no arguments/);
  await logout(undefined, place.context, { all: true });
  assert.equal(place.lines.at(-1), 'Removed login credentials for all registries');
});

test('without a registry the first search registry is meant', async () => {
  await using place = await setUp();
  const file = `${place.authFile}.conf`;
  await writeFile(file, `unqualified-search-registries = ["${place.registry.address}"]`);
  const context = { ...place.context, docker: { ...place.context.docker, registriesFile: file } };
  await login(undefined, context, ALICE);
  assert.equal(place.lines.at(-1), 'Login Succeeded!');
  await assert.rejects(login(undefined, place.context, ALICE), { code: 'bad-option' });
});

test.run();
