import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';

/** A proxy that takes everything to one port of loopback, whatever name was asked for, and notes what it was asked. */
export interface TestProxy extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  readonly asked: string[];
}

/** @param credentials `user:password` that it wants; without them it answers 407 */
export async function startProxy(port: number, credentials?: string): Promise<TestProxy> {
  const asked: string[] = [];
  const wanted = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
  const server = createServer((incoming, answer) => {
    asked.push(incoming.url ?? '');
    if (wanted && incoming.headers['proxy-authorization'] !== wanted) return void answer.writeHead(407).end();
    const { pathname, search } = new URL(incoming.url ?? '');
    const { method, headers } = incoming;
    const onward = request({ host: '127.0.0.1', port, path: pathname + search, method, headers }, (found) => {
      answer.writeHead(found.statusCode ?? 500, found.headers);
      found.pipe(answer);
    });
    incoming.pipe(onward);
  });
  server.on('connect', (incoming, socket, head) => {
    asked.push(incoming.url ?? '');
    if (wanted && incoming.headers['proxy-authorization'] !== wanted)
      return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
    const upstream = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('error', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
