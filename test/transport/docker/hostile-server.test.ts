// Servers that break the rules of HTTP or of registries: one clear error each, soon, and nothing half written.
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import { parseUsers } from '../../../registry/users.ts';
import type { DockerAccess } from '../../../transport/contract.ts';
import { copyImage } from '../../../transport/copy.ts';
import { parse } from '../../../transport/docker/reference.ts';
import { parseImageReference } from '../../../transport/references.ts';
import { withRetries } from '../../../transport/retry.ts';
import { dockerContext } from '../../support/docker-context.ts';
import type { Fault } from '../../support/faults.ts';
import { ANYTHING, writeLayout } from '../../support/layout.ts';
import { seedImage, startTestRegistry, type TestRegistry } from '../../support/registry.ts';

const LAYER = gzipSync(randomBytes(200_000));
const BLOB_GET = { method: 'GET', url: /blobs\/sha256/ };

async function withImage(...faults: Fault[]): Promise<TestRegistry> {
  const registry = await startTestRegistry();
  await seedImage(registry, 'a', 't', [LAYER]);
  registry.faults.clear();
  registry.faults.add(...faults);
  return registry;
}

/** Copies `a:t` into a layout and tells what the layout holds afterwards. */
async function copyOut(address: string, access: Partial<DockerAccess> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'hostile-server-'));
  try {
    const context = dockerContext({ requestRetries: 0, stallTimeoutMs: 300, ...access });
    const to = await parseImageReference('oci:out:x', { workingDirectory: directory });
    const copying = copyImage(ANYTHING, parse(`//${address}/a:t`), to, {
      source: context,
      destination: { ...context, temporaryDirectory: directory },
      preserveDigests: true,
    });
    const failure = await copying.then(
      () => undefined,
      (error: Error & { code?: string }) => error,
    );
    return {
      failure,
      visible: existsSync(join(directory, 'out/index.json')),
      blobs: existsSync(join(directory, 'out/blobs'))
        ? readdirSync(join(directory, 'out/blobs'), { recursive: true })
        : [],
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A TCP server that answers every connection by hand. */
async function rawServer(answer: (socket: Socket, request: string) => void) {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => answer(socket, chunk.toString('latin1')));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

for (const [name, answer] of [
  [
    'ten megabytes of headers',
    (socket: Socket) => socket.write(`HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(10_000_000)}\r\n\r\n`),
  ],
  [
    'ten thousand headers',
    (socket: Socket) =>
      socket.write(
        `HTTP/1.1 200 OK\r\n${Array.from({ length: 10_000 }, (_, at) => `X-${at}: ${'v'.repeat(60)}`).join('\r\n')}\r\n\r\n`,
      ),
  ],
  ['headers that never end', (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\nX-A: a')],
  ['no answer at all', () => true],
  ['something that is not HTTP', (socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n')],
  [
    'two lengths',
    (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}'),
  ],
] as const)
  test(`a server that sends ${name} is one clear error`, async () => {
    await using server = await rawServer((socket) => void answer(socket));
    const started = performance.now();
    const { failure, visible } = await copyOut(server.address);
    ok(failure && !visible);
    match(
      failure.message,
      /^initializing source docker:\/\/127\.0\.0\.1:\d+\/a:t: pinging container registry [^\n]*$/,
    );
    ok(performance.now() - started < 10_000);
  });

for (const [name, location] of [
  ['a file', 'file:///etc/passwd'],
  ['a unix socket', 'unix:///var/run/docker.sock'],
  ['data', 'data:application/json,%7B%7D'],
  ['an address that is none', 'http://['],
  ['ftp', 'ftp://127.0.0.1/x'],
] as const)
  test(`a redirect to ${name} is refused`, async () => {
    for (const what of [{ method: 'GET', url: 'manifests' }, BLOB_GET]) {
      await using registry = await withImage({ ...what, status: 307, headers: { location } });
      const { failure, visible, blobs } = await copyOut(registry.address);
      ok(failure && !visible);
      match(failure.message, /redirect|address/);
      deepEqual(blobs, what === BLOB_GET ? blobs : []);
    }
  });

test('Content-Encoding of a blob changes no byte', async () => {
  await using registry = await withImage({ ...BLOB_GET, setHeaders: { 'content-encoding': 'gzip' } });
  const { failure, visible } = await copyOut(registry.address);
  deepEqual([failure, visible], [undefined, true]);
});

for (const [name, fault] of [
  [
    'longer than the manifest says',
    { ...BLOB_GET, status: 200, body: Buffer.concat([LAYER, Buffer.alloc(5_000_000)]) },
  ],
  [
    'a web page',
    { ...BLOB_GET, status: 200, headers: { 'content-type': 'text/html' }, body: '<html>log in</html>' },
  ],
  ['empty', { ...BLOB_GET, status: 200, body: '' }],
  ['a part that nobody asked for', { ...BLOB_GET, status: 206, body: LAYER.subarray(10) }],
  ['changed in its last byte', { ...BLOB_GET, corruptAt: LAYER.length - 1 }],
  ['416', { ...BLOB_GET, status: 416 }],
] as const satisfies readonly (readonly [string, Fault])[])
  test(`a blob that is ${name} never becomes part of an image`, async () => {
    await using registry = await withImage(fault);
    const { failure, visible } = await copyOut(registry.address);
    ok(failure && !visible);
    equal(failure.message.includes('\n'), false);
  });

test('an endless error page is not read to its end', async () => {
  await using registry = await withImage({
    url: 'manifests',
    status: 500,
    body: Buffer.alloc(50_000_000, 'x'),
  });
  const { failure } = await copyOut(registry.address);
  ok(failure && failure.message.length < 1000);
});

test('--retry-times covers bare 500s of registry, token server and upload together', async () => {
  const open = await withImage();
  await using registry = await startTestRegistry({
    directory: open.directory,
    auth: { kind: 'bearer', users: parseUsers('a:b') },
  });
  const directory = mkdtempSync(join(tmpdir(), 'hostile-server-'));
  try {
    writeLayout(join(directory, 'in'), 'x');
    const credentials = { username: 'a', password: 'b' };
    const context = dockerContext({ requestRetries: 0, credentials });
    registry.faults.add(
      { url: /\/v2\/$/, status: 500, times: 1 },
      { url: '/token', status: 500, times: 1 },
      { method: 'HEAD', url: 'blobs/', status: 500, times: 1 },
      { method: 'POST', url: 'uploads/', status: 500, times: 1 },
      { method: 'PUT', url: 'uploads/', status: 500, times: 1 },
      { method: 'PUT', url: 'manifests/', status: 500, times: 1 },
    );
    const reasons: string[] = [];
    const from = await parseImageReference('oci:in:x', { workingDirectory: directory });
    const to = parse(`//${registry.address}/new:1`);
    const once = () => copyImage(ANYTHING, from, to, { source: context, destination: context });
    await rejects(once());
    await withRetries('copy', once, {
      times: 6,
      delayMs: 1,
      onProgress: (event) => event.type === 'retried' && reasons.push(event.reason),
    });
    ok(reasons.length >= 3 && reasons.length <= 5, reasons.join('\n'));
    const source = await to.openSource(context);
    match((await source.getManifest()).mediaType, /manifest/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
    await open.close();
  }
});

test.run();
