import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'uvu';
import { HttpClient } from '../../../transport/docker/http.ts';

const client = () =>
  new HttpClient({
    environment: {},
    tls: { insecure: true, authorities: [], clients: [] },
    stallTimeoutMs: 60_000,
    connectionsPerHost: 1,
  });

async function serve(listener: RequestListener): Promise<{ readonly url: URL } & AsyncDisposable> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  const { port } = server.address() as AddressInfo;
  return { url: new URL(`http://127.0.0.1:${port}/`), [Symbol.asyncDispose]: close };
}

function aborting(): { readonly controller: AbortController; readonly reason: Error } {
  return { controller: new AbortController(), reason: new Error('stop') };
}

test('an abort ends a request that waits for a connection, and one that waits for its answer', async () => {
  await using server = await serve(() => undefined);
  const http = client();
  const [first, queued] = [aborting(), aborting()];
  const answers = [first, queued].map(({ controller: { signal } }) =>
    http.send({ method: 'GET', url: server.url, headers: {}, signal }),
  );
  for (const { controller, reason } of [queued, first]) setTimeout(() => controller.abort(reason), 20);
  await assert.rejects(answers[1] as Promise<unknown>, queued.reason);
  await assert.rejects(answers[0] as Promise<unknown>, first.reason);
});

test('an abort ends an answer in its middle', async () => {
  await using server = await serve((_request, response) => response.write('some'));
  const { controller, reason } = aborting();
  const { body } = await client().send({
    method: 'GET',
    url: server.url,
    headers: {},
    signal: controller.signal,
  });
  setTimeout(() => controller.abort(reason), 20);
  await assert.rejects(body.toArray(), reason);
});

test('requests let go of their signal', async () => {
  await using server = await serve((_request, response) => response.end('all'));
  const { signal } = new AbortController();
  const http = client();
  for (let count = 0; count < 3; count += 1) {
    const { body } = await http.send({ method: 'GET', url: server.url, headers: {}, signal });
    await Promise.all([body.toArray(), once(body, 'close')]);
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test.run();
