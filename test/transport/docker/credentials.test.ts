import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import { MEDIA_TYPE } from '../../../image/media-type.ts';
import { parseUsers } from '../../../registry/users.ts';
import type { DockerAccess } from '../../../transport/contract.ts';
import { parse } from '../../../transport/docker/reference.ts';
import { dockerContext } from '../../support/docker-context.ts';
import { type Fault, type SeenRequest, startScriptedServer } from '../../support/faults.ts';
import { seedImage, startTestRegistry, type TestRegistry } from '../../support/registry.ts';

const USERS = parseUsers('alice:s3cret');
const CREDENTIALS = { username: 'alice', password: 's3cret' };
const BASIC = `Basic ${Buffer.from('alice:s3cret').toString('base64')}`;

async function guarded(kind: 'basic' | 'bearer', options = {}): Promise<TestRegistry> {
  const open = await startTestRegistry();
  await seedImage(open, 'a', 't');
  const registry = await startTestRegistry({
    directory: open.directory,
    auth: { kind, users: USERS, ...options },
  });
  return {
    ...registry,
    [Symbol.asyncDispose]: async () => {
      await registry.close();
      await open.close();
    },
  };
}

async function pull(address: string, access: Partial<DockerAccess> = {}): Promise<void> {
  const context = dockerContext({ credentials: CREDENTIALS, ...access });
  await using source = await parse(`//${address}/a:t`).openSource(context);
  const { bytes } = await source.getManifest();
  const { layers } = JSON.parse(Buffer.from(bytes).toString());
  for await (const _ of (await source.getBlob(layers[0])).stream);
}

const secretsIn = (log: readonly SeenRequest[]) =>
  log.filter(({ headers }) => headers.authorization || headers.cookie).map(({ url }) => url);

for (const kind of ['basic', 'bearer'] as const) {
  test(`${kind}: the right password opens, a wrong one and none do not`, async () => {
    await using registry = await guarded(kind);
    await pull(registry.address);
    const wrong = { username: 'alice', password: 'wrong' };
    await assert.rejects(pull(registry.address, { credentials: wrong }), { code: 'unauthorized' });
    await assert.rejects(pull(registry.address, { credentials: 'none' }), { code: 'unauthorized' });
  });
}

test('one token is fetched for all parallel requests, and kept', async () => {
  await using registry = await guarded('bearer');
  const context = dockerContext({ credentials: CREDENTIALS });
  const reference = parse(`//${registry.address}/a:t`);
  await Promise.all(Array.from({ length: 8 }, () => reference.openSource(context)));
  assert.equal(registry.faults.requests(/token/).length, 1);
});

test('a token that the registry refuses in mid-copy is renewed once', async () => {
  await using registry = await guarded('bearer');
  registry.faults.add({
    url: 'blobs/sha256',
    status: 401,
    times: 1,
    headers: {
      'www-authenticate': `Bearer realm="${registry.url}/token",service="slipway",error="invalid_token"`,
    },
  });
  await pull(registry.address);
  assert.equal(registry.faults.requests(/token/).length, 2);
});

test('a 401 loop ends after one renewal', async () => {
  await using registry = await guarded('bearer');
  registry.faults.add({
    url: 'manifests',
    status: 401,
    headers: { 'www-authenticate': `Bearer realm="${registry.url}/token",service="slipway"` },
  });
  await assert.rejects(pull(registry.address), { code: 'unauthorized' });
  assert.equal(registry.faults.requests(/manifests/).length, 2);
});

test('a scope that the challenge asks for in addition is fetched', async () => {
  await using registry = await guarded('bearer');
  registry.faults.add({
    url: 'manifests',
    status: 401,
    times: 1,
    headers: {
      'www-authenticate': `Bearer realm="${registry.url}/token",service="slipway",error="insufficient_scope",scope="repository:b:pull"`,
    },
  });
  await pull(registry.address);
  assert.match(registry.faults.requests(/token/)[1] as string, /scope=repository%3Ab%3Apull/);
});

for (const [name, body, code] of [
  ['without a token', '{}', 'registry'],
  ['not JSON', 'hello', 'registry'],
  ['over 1 MiB (R10)', `{"token":"${'x'.repeat(1_100_000)}"}`, 'registry'],
  ['with a line break', '{"token":"a\\r\\nX-Evil: 1"}', 'registry'],
] as const)
  test(`a token answer ${name} is an error`, async () => {
    await using registry = await guarded('bearer');
    registry.faults.add({ url: '/token', status: 200, body });
    await assert.rejects(pull(registry.address), { code });
  });

for (const expires of [0, -5, 1e300])
  test(`expires_in ${expires} does not make the client busy`, async () => {
    await using registry = await guarded('bearer');
    const anonymous = await fetch(`${registry.url}/token?service=slipway&scope=repository:a:pull`, {
      headers: { authorization: BASIC },
    });
    const { token } = (await anonymous.json()) as { token: string };
    registry.faults.clear();
    registry.faults.add({
      url: '/token',
      status: 200,
      body: JSON.stringify({ access_token: token, expires_in: expires }),
    });
    await pull(registry.address);
    assert.equal(registry.faults.requests(/token/).length, 1);
  });

test('an identity token is exchanged by OAuth', async () => {
  await using registry = await guarded('bearer');
  const response = await fetch(`${registry.url}/token?service=slipway&offline_token=true`, {
    headers: { authorization: BASIC },
  });
  const { refresh_token: identityToken } = (await response.json()) as { refresh_token: string };
  await pull(registry.address, { credentials: { username: '', password: '', identityToken } as never });
  assert.equal(registry.faults.requests(/^POST \/token/).length, 1);
});

test('--registry-token is sent as it is', async () => {
  await using registry = await guarded('bearer');
  await assert.rejects(pull(registry.address, { bearerToken: 'mine' }), { code: 'unauthorized' });
  assert.equal(registry.faults.requests(/token/).length, 0);
  assert.ok(registry.faults.log.some(({ headers }) => headers.authorization === 'Bearer mine'));
});

for (const kind of ['basic', 'bearer'] as const)
  for (const status of [301, 302, 303, 307, 308])
    test(`R05 R06 I7 ${kind}: a ${status} to another origin gets no credentials`, async () => {
      await using registry = await guarded(kind);
      await using evil = await startScriptedServer();
      evil.faults.add({
        status: 401,
        headers: { 'www-authenticate': ['Basic realm="x"', `Bearer realm="${evil.url}/token"`] },
      });
      registry.faults.add({ url: 'blobs/sha256', status, headers: { location: `${evil.url}/blob` } });
      await assert.rejects(pull(registry.address));
      assert.ok(evil.faults.log.length > 0);
      assert.deepEqual(secretsIn(evil.faults.log), []);
      for (const { headers } of evil.faults.log)
        assert.deepEqual(
          Object.keys(headers).filter((name) => /docker|x-|auth/.test(name)),
          [],
        );
    });

test('a blob behind a redirect to another host is read, also after a cut', async () => {
  await using registry = await guarded('bearer');
  await using cdn = await startTestRegistry();
  const { layers } = await seedImage(cdn, 'a', 't');
  cdn.faults.clear();
  cdn.faults.add({ method: 'GET', url: 'blobs/sha256', cutAt: 3, times: 1 });
  const location = `${cdn.url}/v2/a/blobs/${layers[0]!.digest}`;
  registry.faults.add({ method: 'GET', url: 'blobs/sha256', status: 307, headers: { location } });
  await pull(registry.address);
  assert.deepEqual(
    cdn.faults.log.map(({ headers }) => headers.range),
    [undefined, 'bytes=3-'],
  );
  assert.deepEqual(secretsIn(cdn.faults.log), []);
});

test('R02 foreign-layer URLs are asked without credentials, and what they challenge is not answered', async () => {
  await using registry = await guarded('basic');
  await using evil = await startScriptedServer();
  evil.faults.add({
    status: 401,
    headers: { 'www-authenticate': ['Basic realm="x"', `Bearer realm="${evil.url}/token"`] },
  });
  const context = dockerContext({ credentials: CREDENTIALS });
  await using source = await parse(`//${registry.address}/a:t`).openSource(context);
  const { bytes } = await source.getManifest();
  const layer = JSON.parse(Buffer.from(bytes).toString()).layers[0];
  const foreign = {
    ...layer,
    mediaType: MEDIA_TYPE.ociForeignLayer,
    urls: [`${evil.url}/layer`, 'file:///etc/passwd'],
  };
  await assert.rejects(source.getBlob(foreign), { code: 'network' });
  assert.deepEqual(
    evil.faults.log.map(({ url }) => url),
    ['/layer'],
  );
  assert.deepEqual(secretsIn(evil.faults.log), []);
  await source.getBlob({ ...foreign, urls: ['file:///etc/passwd'] });
});

for (const [name, realm] of [
  ['file:', 'file:///etc/passwd'],
  ['javascript:', 'javascript:alert(1)'],
  ['garbage', 'http://['],
  ['nothing', ''],
] as const)
  test(`R03 a realm of ${name} is refused`, async () => {
    await using server = await startScriptedServer();
    server.faults.add({
      status: 401,
      headers: { 'www-authenticate': `Bearer realm="${realm}",service="s"` },
    });
    await assert.rejects(pull(server.address));
    assert.deepEqual(secretsIn(server.faults.log), []);
  });

test('R03 a token server that redirects elsewhere does not take the password along', async () => {
  await using registry = await guarded('bearer');
  await using evil = await startScriptedServer();
  evil.faults.add({ status: 200, body: '{"token":"x"}' });
  registry.faults.add({ url: '/token', status: 307, headers: { location: `${evil.url}/token` } });
  await assert.rejects(pull(registry.address));
  assert.ok(evil.faults.log.length > 0);
  assert.deepEqual(secretsIn(evil.faults.log), []);
});

const UPLOAD_STEPS: readonly (readonly [string, Fault])[] = [
  ['the first Location', { method: 'POST', url: 'uploads/', status: 202 }],
  ['the Location after PATCH', { method: 'PATCH', url: 'uploads/', status: 202 }],
];
for (const [name, fault] of UPLOAD_STEPS)
  test(`R04 an upload that ${name} sends elsewhere carries no credentials`, async () => {
    await using registry = await guarded('bearer');
    await using other = await startScriptedServer();
    other.faults.add({ status: 201 });
    registry.faults.add({ ...fault, headers: { location: `${other.url}/upload?signature=x` } });
    const context = dockerContext({ credentials: CREDENTIALS });
    await using destination = await parse(`//${registry.address}/a:t`).openDestination(context);
    const { Readable } = await import('node:stream');
    const stream = Readable.from([Buffer.from('bytes')]);
    await destination.putBlob({ stream }, { mediaType: 'x' }, { isConfig: false }).catch(() => undefined);
    assert.ok(other.faults.log.length > 0);
    assert.deepEqual(secretsIn(other.faults.log), []);
  });

test('many images at once do not start a credential helper each', async () => {
  await using registry = await guarded('basic');
  const directory = await mkdtemp(`${tmpdir()}/slipway-helper-`);
  const calls = join(directory, 'calls');
  const helper = `#!/bin/sh\necho x >> ${calls}\necho '{"Username":"alice","Secret":"s3cret"}'\n`;
  await writeFile(join(directory, 'docker-credential-test'), helper, { mode: 0o755 });
  const authFile = join(directory, 'auth.json');
  await writeFile(authFile, JSON.stringify({ credHelpers: { [registry.address]: 'test' } }));
  const environment = { HOME: directory, PATH: `${directory}:${process.env.PATH}` };
  const { credentials: _none, ...docker } = dockerContext({ environment, authFile }).docker;
  const context = { ...dockerContext(), docker };
  for (let image = 0; image < 3; image += 1) {
    await using source = await parse(`//${registry.address}/a:t`).openSource(context);
    assert.ok((await source.getManifest()).bytes.length > 0);
  }
  assert.equal(await readFile(calls, 'utf8'), 'x\n');
  await rm(directory, { recursive: true });
});

test('credentials of the command line go to the named registry, not to its mirror', async () => {
  await using registry = await guarded('basic');
  await using mirror = await startScriptedServer();
  mirror.faults.add({ status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } });
  const directory = await mkdtemp(`${tmpdir()}/slipway-conf-`);
  const file = `${directory}/registries.conf`;
  await writeFile(
    file,
    `[[registry]]\nlocation = "${registry.address}"\ninsecure = true\n[[registry.mirror]]\nlocation = "${mirror.address}"\ninsecure = true\n`,
  );
  await pull(registry.address, { registriesFile: file });
  assert.ok(mirror.faults.log.length > 0);
  assert.deepEqual(secretsIn(mirror.faults.log), []);
  await rm(directory, { recursive: true });
});

test.run();
