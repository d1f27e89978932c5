import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { serveRpc } from '../../bin/commands/buildah/rpc-server.ts';

const test = suite('rpc server');
const directory = mkdtempSync(join(tmpdir(), 'slipway-rpc-'));
test.after(() => rmSync(directory, { recursive: true, force: true }));

function frame(message: Buffer, compressed = 0): Buffer {
  const header = Buffer.alloc(5);
  header[0] = compressed;
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

async function call(socket: string, path: string, body: Buffer): Promise<{ status: string; body: Buffer }> {
  const session = connect('http://localhost', { createConnection: () => connectSocket(socket) });
  const request = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
  let status = '';
  request.on('trailers', (headers) => {
    status = String(headers['grpc-status']);
  });
  request.end(body);
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  session.close();
  return { status, body: Buffer.concat(parts) };
}

const NOOP = '/io.buildah.v1.Noop/Noop';
const message = frame(Buffer.from('\x0a\x03a,b'));
const cases = [
  { name: 'answers what it was sent', path: NOOP, body: message, status: '0', answer: message },
  { name: 'refuses other methods', path: '/io.buildah.v1.Noop/Other', body: message, status: '12' },
  { name: 'refuses compressed messages', path: NOOP, body: frame(Buffer.from('x'), 1), status: '12' },
  { name: 'refuses a cut message', path: NOOP, body: message.subarray(0, 7), status: '3' },
  { name: 'refuses an empty request', path: NOOP, body: Buffer.alloc(0), status: '3' },
  { name: 'refuses a huge message', path: NOOP, body: frame(Buffer.alloc(5 * 1024 * 1024)), status: '8' },
];
for (const [at, { name, path, body, status, answer }] of cases.entries()) {
  test(name, async () => {
    const socket = join(directory, `${at}.sock`);
    await using _server = await serveRpc(socket);
    const got = await call(socket, path, body);
    assert.equal(got.status, status);
    assert.deepEqual(got.body, answer ?? Buffer.alloc(0));
  });
}

test('a socket that cannot be made is an error', async () => {
  await assert.rejects(serveRpc(join(directory, 'none', 'socket')), /listen unix/);
});

test.run();
