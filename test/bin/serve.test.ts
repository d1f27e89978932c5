import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import { makeCertificate } from '../support/certificates.ts';

const directory = mkdtempSync(join(tmpdir(), 'slipway-serve-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const path = (name: string) => join(directory, name);

interface Served {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `slipway serve`; when it listens, does `work` with the address and then sends the signal. */
function serve(
  flags: readonly string[],
  work?: (address: string) => Promise<void>,
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<Served> {
  return new Promise((resolve, reject) => {
    const args = [
      '--disable-warning=ExperimentalWarning',
      'bin/slipway.ts',
      'serve',
      '--directory',
      path('content'),
    ];
    const child = spawn(process.execPath, [...args, ...flags]);
    let [stdout, stderr] = ['', ''];
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.stdout.on('data', (chunk) => {
      const first = !stdout.includes('\n');
      stdout += chunk;
      if (first && stdout.includes('\n'))
        (work?.(stdout.trim()) ?? Promise.resolve()).then(
          () => child.kill(signal),
          (error) => {
            child.kill('SIGKILL');
            reject(error);
          },
        );
    });
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  test(`prints its address, serves, and stops cleanly on ${signal}`, async () => {
    const served = await serve(
      ['--address', '127.0.0.1:0', '--access-log', '--gc'],
      async (address) => {
        assert.match(address, /^127\.0\.0\.1:\d+$/);
        assert.equal((await fetch(`http://${address}/v2/`)).status, 200);
      },
      signal,
    );
    assert.equal(served.code, 0, served.stderr);
    assert.match(served.stderr, /removed 0 uploads[^\n]*\n200 GET "\/v2\/"/);
  });

test('users, tokens and read-only', async () => {
  writeFileSync(path('users'), 'alice:s3cret\n');
  const flags = ['--auth', 'basic', '--users', path('users'), '--anonymous-pull', '--read-only'];
  await serve(['--address', 'localhost:0', ...flags], async (address) => {
    const upload = (headers = {}) =>
      fetch(`http://${address}/v2/a/blobs/uploads/`, { method: 'POST', headers });
    assert.equal((await fetch(`http://${address}/v2/a/tags/list`)).status, 404);
    assert.equal((await upload()).status, 401);
    const authorization = `Basic ${Buffer.from('alice:s3cret').toString('base64')}`;
    assert.equal((await upload({ authorization })).status, 405);
  });
});

test('TLS', async () => {
  const { certificate, key } = makeCertificate('server', ['127.0.0.1']);
  writeFileSync(path('cert'), certificate);
  writeFileSync(path('key'), key);
  const flags = ['--tls-cert', path('cert'), '--tls-key', path('key')];
  const served = await serve(['--address', '127.0.0.1:0', ...flags], async (address) => {
    const { request } = await import('node:https');
    const status = await new Promise((resolve, reject) =>
      request(`https://${address}/v2/`, { ca: certificate }, (response) => resolve(response.statusCode))
        .on('error', reject)
        .end(),
    );
    assert.equal(status, 200);
  });
  assert.equal(served.code, 0);
});

for (const [name, flags, message] of [
  ['a bad address', ['--address', 'nowhere'], /invalid --address "nowhere"/],
  ['a bad port', ['--address', '127.0.0.1:99999'], /invalid --address/],
  ['an address that is not here', ['--address', '192.0.2.1:0'], /cannot listen on 192\.0\.2\.1:0/],
  ['half of a key pair', ['--tls-cert', 'x'], /must be given together/],
  ['a missing file', ['--tls-cert', 'x', '--tls-key', 'y'], /cannot read x/],
  ['an unknown kind of auth', ['--auth', 'magic'], /expected none, basic or bearer/],
  ['auth without users', ['--auth', 'basic'], /needs --users/],
  ['users without auth', ['--users', 'x'], /needs --auth/],
  ['an argument', ['extra'], /./],
] as const)
  test(`refuses ${name} with one line`, async () => {
    const served = await serve(flags);
    assert.equal(served.code, 1);
    assert.equal(served.stdout, '');
    assert.match(served.stderr, message);
    assert.doesNotMatch(served.stderr, /\n\s+at /);
  });

test('an address in use is named', async () => {
  await serve(['--address', '127.0.0.1:0'], async (address) => {
    const second = await serve(['--address', address]);
    assert.match(second.stderr, new RegExp(`cannot listen on ${address}`));
  });
});

test.run();
