// A scriptable fault injector for HTTP servers: rules of match and misbehaviour, and a log of every request.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** One request as the server saw it. */
export interface SeenRequest {
  readonly method: string;
  /** Path with query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** What happens to a matching request. Fields combine: a rule may delay and then cut. */
export interface Fault {
  readonly method?: string;
  /** Tested against path and query. */
  readonly url?: RegExp | string;
  /** Only requests that this holds for. */
  readonly when?: (request: IncomingMessage) => boolean;
  /** Matching requests that pass before the rule acts; default 0. */
  readonly skip?: number;
  /** How often the rule acts; default: always. */
  readonly times?: number;
  /** Answer with this instead of the real thing. A 3xx with a `location` header is a redirect. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Uint8Array;
  /** Drop the connection before anything is answered. */
  readonly reset?: boolean;
  /** Read this many bytes of the request body, then drop the connection. */
  readonly cutRequestAt?: number;
  /** Drop the connection after this many bytes of the real body. */
  readonly cutAt?: number;
  /** Send this many bytes of the real body and then nothing more. */
  readonly stallAt?: number;
  /** Milliseconds before the answer starts. */
  readonly delayMs?: number;
  /** Change the byte at this position of the real body. */
  readonly corruptAt?: number;
  /** Milliseconds between the bytes of the body. */
  readonly dripMs?: number;
  /** Change or (with undefined) remove headers of the real answer. */
  readonly setHeaders?: Readonly<Record<string, string | undefined>>;
}

interface Rule {
  readonly fault: Fault;
  seen: number;
}

export class FaultInjector {
  readonly log: SeenRequest[] = [];
  #rules: Rule[] = [];

  /** Adds rules; the first that matches acts. */
  add(...faults: Fault[]): void {
    this.#rules.push(...faults.map((fault) => ({ fault, seen: 0 })));
  }

  /** Forgets rules and log. */
  clear(): void {
    this.#rules = [];
    this.log.length = 0;
  }

  /** Requests of the log as `METHOD url`, those that match. */
  requests(pattern: RegExp = /./): string[] {
    return this.log.map(({ method, url }) => `${method} ${url}`).filter((line) => pattern.test(line));
  }

  /** For `RegistryOptions.intercept`. */
  readonly intercept = async (request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
    this.log.push({
      method: request.method ?? '',
      url: request.url ?? '',
      headers: structuredClone(request.headers),
    });
    const fault = this.#take(request);
    return fault ? misbehave(fault, request, response) : false;
  };

  #take(request: IncomingMessage): Fault | undefined {
    for (const rule of this.#rules) {
      const { fault } = rule;
      if (!matches(fault, request)) continue;
      rule.seen += 1;
      const acted = rule.seen - (fault.skip ?? 0);
      if (acted >= 1 && acted <= (fault.times ?? Number.POSITIVE_INFINITY)) return fault;
    }
    return undefined;
  }
}

function matches(fault: Fault, request: IncomingMessage): boolean {
  const url = request.url ?? '';
  if (fault.method !== undefined && fault.method !== request.method) return false;
  if (typeof fault.url === 'string' && !url.includes(fault.url)) return false;
  if (fault.url instanceof RegExp && !fault.url.test(url)) return false;
  return fault.when?.(request) ?? true;
}

async function misbehave(fault: Fault, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
  if (fault.delayMs !== undefined) await sleep(fault.delayMs, undefined, { ref: false });
  if (fault.reset) {
    request.socket.destroy();
    return true;
  }
  if (fault.cutRequestAt !== undefined) cutRequest(request, fault.cutRequestAt);
  spoilBody(fault, request, response);
  for (const [name, value] of Object.entries(fault.setHeaders ?? {})) spoilHeader(response, name, value);
  if (fault.status === undefined) return false;
  request.resume();
  const body = Buffer.from(fault.body ?? '');
  response.writeHead(fault.status, { 'content-length': String(body.length), ...fault.headers });
  response.end(request.method === 'HEAD' ? undefined : body);
  return true;
}

function cutRequest(request: IncomingMessage, limit: number): void {
  let seen = 0;
  const push = request.push.bind(request);
  request.push = (chunk: Buffer | null, ...rest) => {
    if (chunk === null) return push(null, ...rest);
    const left = limit - seen;
    seen += chunk.length;
    if (chunk.length <= left) return push(chunk, ...rest);
    if (left > 0) push(chunk.subarray(0, left), ...rest);
    // Let what was pushed be taken before the connection goes.
    setTimeout(() => request.socket.destroy(), 30);
    return false;
  };
}

function spoilHeader(response: ServerResponse, name: string, value: string | undefined): void {
  const writeHead = response.writeHead.bind(response) as (
    status: number,
    headers?: Record<string, string>,
  ) => ServerResponse;
  response.writeHead = ((status: number, headers: Record<string, string> = {}) => {
    const changed = { ...headers };
    delete changed[name.toLowerCase()];
    if (value !== undefined) changed[name.toLowerCase()] = value;
    return writeHead(status, changed);
  }) as ServerResponse['writeHead'];
}

/** Sends the body that the handler writes byte for byte as the rule says. */
function spoilBody(fault: Fault, request: IncomingMessage, response: ServerResponse): void {
  const { cutAt, stallAt, corruptAt, dripMs } = fault;
  if (cutAt === undefined && stallAt === undefined && corruptAt === undefined && dripMs === undefined) return;
  const write = response.write.bind(response) as (chunk: Buffer) => boolean;
  const end = response.end.bind(response) as () => ServerResponse;
  const limit = cutAt ?? stallAt ?? Number.POSITIVE_INFINITY;
  let sent = 0;
  let queue: Promise<void> = Promise.resolve();
  const send = async (chunk: Buffer): Promise<void> => {
    const bytes = Buffer.from(chunk);
    if (corruptAt !== undefined && corruptAt >= sent && corruptAt < sent + bytes.length)
      bytes[corruptAt - sent] = bytes[corruptAt - sent]! ^ 0xff;
    const part = bytes.subarray(0, Math.max(0, limit - sent));
    sent += bytes.length;
    if (dripMs === undefined) write(part);
    else
      for (const byte of part) {
        if (request.socket.destroyed) return;
        write(Buffer.of(byte));
        await sleep(dripMs);
      }
    if (sent >= limit && cutAt !== undefined) setTimeout(() => request.socket.destroy(), 20);
  };
  const take = (chunk: unknown) => {
    if (chunk instanceof Uint8Array || typeof chunk === 'string')
      queue = queue.then(() => send(Buffer.from(chunk as string)));
  };
  response.write = ((chunk: unknown, ...rest: unknown[]) => {
    take(chunk);
    const callback = rest.find((item) => typeof item === 'function') as (() => void) | undefined;
    if (callback) void queue.then(callback);
    return true;
  }) as ServerResponse['write'];
  response.end = ((chunk?: unknown) => {
    take(chunk);
    queue = queue.then(() => {
      if (sent < limit) end();
      else if (cutAt !== undefined) setTimeout(() => request.socket.destroy(), 20);
    });
    return response;
  }) as ServerResponse['end'];
}

/** A bare server that only answers by rules (404 otherwise); plays an attacker's or a token server. */
export interface ScriptedServer extends AsyncDisposable {
  readonly faults: FaultInjector;
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly url: string;
}

export async function startScriptedServer(host = '127.0.0.1'): Promise<ScriptedServer> {
  const faults = new FaultInjector();
  const server = createServer((request, response) => {
    void faults.intercept(request, response).then((done) => {
      if (!done) response.writeHead(404, { 'content-length': '0' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = `${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`;
  return {
    faults,
    address,
    url: `http://${address}`,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
