import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import { parseUsers } from '../../../registry/users.ts';
import type { DockerAccess } from '../../../transport/contract.ts';
import { parse } from '../../../transport/docker/reference.ts';
import { makeCertificate } from '../../support/certificates.ts';
import { dockerContext } from '../../support/docker-context.ts';
import { startProxy } from '../../support/proxy.ts';
import { seedImage, startTestRegistry } from '../../support/registry.ts';

const AUTHORITY = makeCertificate('Test Authority');
const SERVER = makeCertificate('server', ['127.0.0.1', 'localhost'], AUTHORITY);
const CLIENT = makeCertificate('client', [], AUTHORITY);

async function setUp(options: { readonly mutual?: boolean; readonly basic?: boolean } = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'slipway-tls-'));
  const open = await startTestRegistry();
  await seedImage(open, 'a', 't');
  const registry = await startTestRegistry({
    directory: open.directory,
    tls: {
      key: SERVER.key,
      certificate: SERVER.certificate,
      ...(options.mutual ? { clientAuthority: AUTHORITY.certificate } : {}),
    },
    ...(options.basic ? { auth: { kind: 'basic', users: parseUsers('alice:s3cret') } } : {}),
  });
  const certs = join(directory, registry.address);
  await mkdir(certs);
  return {
    registry,
    /** The same registry without TLS. */
    open,
    directory,
    certs,
    trust: () => writeFile(join(certs, 'ca.crt'), AUTHORITY.certificate),
    prove: async () => {
      await writeFile(join(certs, 'me.cert'), CLIENT.certificate);
      await writeFile(join(certs, 'me.key'), CLIENT.key);
    },
    pull: async (access: Partial<DockerAccess> = {}) => {
      const context = dockerContext({ certsDirectories: [directory], tlsVerify: undefined, ...access });
      await using _source = await parse(`//${registry.address}/a:t`).openSource(context);
    },
    [Symbol.asyncDispose]: async () => {
      await registry.close();
      await open.close();
      await rm(directory, { recursive: true });
    },
  };
}

test('R08 an untrusted certificate is refused before anything is asked, and says what to do', async () => {
  await using place = await setUp({ basic: true });
  const credentials = { username: 'alice', password: 's3cret' };
  await assert.rejects(place.pull({ credentials }), {
    code: 'network',
    message: /tls: failed to verify certificate/,
    hint: /certs\.d/,
  });
  assert.equal(place.registry.faults.log.length, 0);
  await place.pull({ credentials, tlsVerify: false });
});

test('without TLS checks both schemes are tried at once', async () => {
  await using place = await setUp();
  const started = performance.now();
  await place.pull({ tlsVerify: false, retryDelayMs: 60_000 });
  assert.ok(performance.now() - started < 30_000);
});

test('an authority of certs.d, --cert-dir or SSL_CERT_FILE is trusted', async () => {
  await using place = await setUp();
  await place.trust();
  await place.pull();
  await place.pull({ certsDirectories: [], certificateDirectory: place.certs });
  const environment = { HOME: place.directory, SSL_CERT_FILE: join(place.certs, 'ca.crt') };
  await place.pull({ certsDirectories: [], environment });
  const missing = { ...environment, SSL_CERT_FILE: '/nowhere' };
  await assert.rejects(place.pull({ certsDirectories: [], environment: missing }), /SSL_CERT_FILE/);
});

test('R06 a client certificate opens the registry and is not shown to others', async () => {
  await using place = await setUp({ mutual: true });
  await place.trust();
  await assert.rejects(place.pull(), {
    code: 'network',
    message: /remote error: tls: (bad certificate|certificate required)$/,
  });
  await place.prove();
  await place.pull();
  await using other = await setUp({ mutual: true });
  await writeFile(join(place.certs, 'ca.crt'), AUTHORITY.certificate);
  place.registry.faults.add({
    url: 'manifests',
    status: 307,
    headers: { location: `${other.registry.url}/v2/a/manifests/t` },
  });
  await assert.rejects(place.pull(), { code: 'network' });
  assert.equal(other.registry.faults.log.length, 0);
});

test('R01 the token server is checked like the registry', async () => {
  await using place = await setUp();
  await place.trust();
  const stranger = makeCertificate('stranger', ['127.0.0.1']);
  await using tokens = await startTestRegistry({
    tls: { key: stranger.key, certificate: stranger.certificate },
  });
  place.registry.faults.add({
    status: 401,
    headers: { 'www-authenticate': `Bearer realm="${tokens.url}/token",service="s"` },
  });
  const credentials = { username: 'alice', password: 's3cret' };
  await assert.rejects(place.pull({ credentials }), { code: 'network', message: /certificate/ });
  assert.equal(tokens.faults.log.length, 0);
});

for (const [name, location] of [
  ['http', (address: string) => `http://${address}/token`],
  ['file', () => 'file:///etc/passwd'],
] as const)
  test(`R03 R05 a realm or redirect from https to ${name} is refused`, async () => {
    await using place = await setUp();
    await place.trust();
    const target = location(place.registry.address);
    const { faults } = place.registry;
    faults.add({ status: 401, headers: { 'www-authenticate': `Bearer realm="${target}",service="s"` } });
    await assert.rejects(place.pull(), { code: 'insecure-redirect' });
    faults.clear();
    faults.add({ url: 'manifests', status: 302, headers: { location: target } });
    await assert.rejects(place.pull(), { code: 'insecure-redirect' });
  });

test('plain http is only spoken when TLS checks are off', async () => {
  await using registry = await startTestRegistry();
  await seedImage(registry, 'a', 't');
  const reference = parse(`//${registry.address}/a:t`);
  await assert.rejects(reference.openSource(dockerContext({ tlsVerify: undefined })), {
    code: 'network',
    hint: /--tls-verify=false/,
  });
  await reference.openSource(dockerContext({ tlsVerify: false }));
  assert.equal(registry.faults.requests(/^GET .*manifests/).length, 1);
});

test('a name that leads nowhere is not told to be a registry without TLS', async () => {
  const reference = parse('//registry.invalid/a:t');
  await assert.rejects(reference.openSource(dockerContext({ tlsVerify: undefined })), {
    code: 'network',
    hint: /check the name registry\.invalid/,
  });
});

test('HTTPS_PROXY is used, and NO_PROXY keeps hosts away from it', async () => {
  await using place = await setUp();
  const port = place.registry.port;
  await using proxy = await startProxy(port);
  const context = (environment: Record<string, string>) =>
    dockerContext({
      tlsVerify: false,
      requestRetries: 0,
      environment: { HOME: place.directory, HTTPS_PROXY: proxy.url, HTTP_PROXY: proxy.url, ...environment },
    });
  const reference = parse(`//registry.invalid:${port}/a:t`);
  await reference.openSource(context({}));
  assert.ok(proxy.asked.includes(`registry.invalid:${port}`));
  proxy.asked.length = 0;
  await assert.rejects(reference.openSource(context({ NO_PROXY: 'invalid' })), { code: 'network' });
  assert.deepEqual(proxy.asked, []);
});

test('a proxy that is down is an error, not a way around it', async () => {
  await using place = await setUp();
  const environment = {
    HOME: place.directory,
    HTTPS_PROXY: 'http://127.0.0.1:9',
    HTTP_PROXY: 'http://127.0.0.1:9',
  };
  const reference = parse(`//registry.invalid:${place.registry.port}/a:t`);
  await assert.rejects(
    reference.openSource(dockerContext({ tlsVerify: false, requestRetries: 0, environment })),
    { code: 'network', message: /the proxy http:\/\/127\.0\.0\.1:9: connection refused$/ },
  );
  assert.equal(place.registry.faults.log.length, 0);
});

for (const [scheme, tlsVerify] of [
  ['https', true],
  ['http', false],
] as const)
  test(`${scheme}: a proxy that answers 407 is named, and takes the credentials of its variable`, async () => {
    await using place = await setUp();
    const registry = scheme === 'https' ? place.registry : place.open;
    const { port } = registry;
    registry.faults.log.length = 0;
    await using proxy = await startProxy(port, 'user:p@ss');
    const open = (userinfo: string) => {
      const address = proxy.url.replace('//', `//${userinfo}`);
      const environment = { HOME: place.directory, HTTPS_PROXY: address, HTTP_PROXY: address };
      const context = dockerContext({ tlsVerify, requestRetries: 0, environment });
      return parse(`//registry.invalid:${port}/a:t`).openSource(context);
    };
    for (const userinfo of ['', 'user:wrong@'])
      await assert.rejects(open(userinfo), (error: Error & { hint?: string; retryable?: boolean }) => {
        assert.match(
          error.message,
          new RegExp(`the proxy ${proxy.url} answers 407 Proxy Authentication Required$`),
        );
        assert.match(error.hint ?? '', /user and password/);
        assert.equal(error.retryable, false);
        return !error.message.includes('wrong');
      });
    assert.equal(registry.faults.log.length, 0);
    if (scheme === 'https')
      await assert.rejects(open('user:p%40ss@'), { code: 'network', message: /tls: failed/ });
    else await open('user:p%40ss@');
  });

test.run();
