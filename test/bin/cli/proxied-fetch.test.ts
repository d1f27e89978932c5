import { equal, rejects } from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'uvu';
import { proxiedFetch } from '../../../bin/cli/proxied-fetch.ts';
import { startProxy } from '../../support/proxy.ts';

const body = 'x'.repeat(1 << 20);

test('fetch goes through the proxy of the environment, and only where there is one', async () => {
  const server = createServer((_request, response) => response.end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await using proxy = await startProxy(port, 'user:secret');
  const environment = { HTTP_PROXY: proxy.url.replace('//', '//user:secret@') };
  equal(await (await proxiedFetch(environment)('http://service.invalid/x')).text(), body);
  equal(proxy.asked.length, 1);
  equal(await (await proxiedFetch(environment)(`http://127.0.0.1:${port}/x`)).text(), body);
  equal(proxy.asked.length, 1, 'this machine is reached directly');
  await rejects(proxiedFetch({ ...environment, NO_PROXY: 'invalid' })('http://service.invalid/x'));
  equal(proxy.asked.length, 1);
  server.closeAllConnections();
  server.close();
});

test.run();
