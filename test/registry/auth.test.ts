import assert from 'node:assert/strict';
import { test } from 'uvu';
import { parseUsers } from '../../registry/users.ts';
import { seedImage, startTestRegistry } from '../support/registry.ts';

const USERS = parseUsers('# people\nalice:plain secret\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n');
const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` });

for (const [name, password, good] of [
  ['alice', 'plain secret', true],
  ['alice', 'plain', false],
  ['bob', 'password', true],
  ['bob', '{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', false],
  ['nobody', '', false],
] as const)
  test(`user ${name} with ${JSON.stringify(password)}`, () => {
    assert.equal(USERS.verify(name, password), good);
  });

test('a bcrypt line is an error that says what to do', () => {
  assert.throws(() => parseUsers('a:$2y$05$abc'), { code: 'bad-option', hint: /htpasswd -s/ });
});

test('basic authentication challenges and admits', async () => {
  await using registry = await startTestRegistry({ auth: { kind: 'basic', users: USERS } });
  const refused = await fetch(`${registry.url}/v2/`);
  assert.deepEqual([refused.status, refused.headers.get('www-authenticate')], [401, 'Basic realm="slipway"']);
  assert.equal((await fetch(`${registry.url}/v2/`, { headers: basic('alice:plain secret') })).status, 200);
  assert.equal((await fetch(`${registry.url}/v2/`, { headers: basic('alice:wrong') })).status, 401);
});

test('bearer tokens cover their scopes, expire, and cannot be forged', async () => {
  let time = 1_700_000_000_000;
  await using open = await startTestRegistry();
  await seedImage(open, 'a', 't');
  await using registry = await startTestRegistry({
    directory: open.directory,
    now: () => time,
    auth: { kind: 'bearer', users: USERS, tokenSeconds: 60, anonymousPull: true },
  });
  const manifest = `${registry.url}/v2/a/manifests/t`;
  const refused = await fetch(manifest);
  assert.equal(
    refused.headers.get('www-authenticate'),
    `Bearer realm="${registry.url}/token",service="slipway",scope="repository:a:pull"`,
  );
  const tokenFor = async (scope: string, headers = {}) => {
    const response = await fetch(`${registry.url}/token?service=slipway&scope=${scope}`, { headers });
    assert.equal(response.status, 200);
    return ((await response.json()) as { token: string }).token;
  };
  const status = async (token: string, method = 'GET') =>
    (await fetch(manifest, { method, headers: { authorization: `Bearer ${token}` } })).status;
  const token = await tokenFor('repository:a:pull');
  assert.equal(await status(token), 200);
  assert.equal(await status(`${token.slice(0, -3)}AAA`), 401);
  assert.equal(await status(await tokenFor('repository:b:pull')), 401);
  assert.equal(await status(await tokenFor('repository:a:pull,push,delete'), 'DELETE'), 401);
  const full = await tokenFor('repository:a:pull,push,delete', basic('bob:password'));
  time += 61_000;
  assert.equal(await status(token), 401);
  assert.equal(await status(full, 'DELETE'), 401);
  const wrong = await fetch(`${registry.url}/token`, { headers: basic('bob:wrong') });
  assert.equal(wrong.status, 401);
});

test('a refresh token buys access tokens', async () => {
  await using registry = await startTestRegistry({ auth: { kind: 'bearer', users: USERS } });
  const ask = async (form: Record<string, string>) => {
    const response = await fetch(`${registry.url}/token`, {
      method: 'POST',
      body: new URLSearchParams(form),
    });
    return { status: response.status, body: (await response.json()) as Record<string, string> };
  };
  const first = await ask({
    grant_type: 'password',
    username: 'bob',
    password: 'password',
    access_type: 'offline',
    service: 'slipway',
  });
  const second = await ask({ grant_type: 'refresh_token', refresh_token: first.body.refresh_token! });
  assert.equal(second.status, 200);
  assert.equal((await ask({ grant_type: 'refresh_token', refresh_token: second.body.token! })).status, 401);
});

test.run();
