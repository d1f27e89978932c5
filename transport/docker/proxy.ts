import { BlockList, isIP } from 'node:net';
import { TransportError } from '../error.ts';
import { isPrivateHost } from './origin.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for a URL by `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` (or their lower-case forms), as Go's
 * golang.org/x/net/http/httpproxy reads them; undefined: none. This machine itself is never reached by a proxy.
 * @throws TransportError `bad-option` for a proxy that is not an http or https URL
 */
export function proxyFor(url: URL, environment: Environment): URL | undefined {
  const get = (name: string) => environment[name.toUpperCase()] || environment[name.toLowerCase()];
  const text =
    url.protocol === 'https:'
      ? get('https_proxy')
      : // A CGI server passes a request header of a stranger as HTTP_PROXY.
        environment.REQUEST_METHOD
        ? environment.http_proxy
        : get('http_proxy');
  if (!text || isLoopback(url.hostname) || isExcluded(url, get('no_proxy') ?? '')) return undefined;
  const proxy = parseProxy(text);
  if (proxy?.protocol !== 'http:' && proxy?.protocol !== 'https:')
    throw new TransportError(
      'bad-option',
      `unsupported proxy ${JSON.stringify(text.replace(/\/\/[^@]*@/, '//…@'))}`,
      {
        hint: 'set HTTPS_PROXY and HTTP_PROXY to http:// or https:// URLs',
      },
    );
  return proxy;
}

/**
 * What a proxy itself refuses, told as such: a failed tunnel, or an answer 407, which no server behind it may give.
 * @param what the request, for the message
 */
export function proxyRefusal(what: string, proxy: URL, status: number): TransportError {
  const wanted = status === 407 ? ' Proxy Authentication Required' : '';
  return new TransportError('network', `${what}: the proxy ${proxy.origin} answers ${status}${wanted}`, {
    facts: { proxy: proxy.origin, status },
    retryable: status >= 500,
    hint:
      status === 407
        ? 'name its user and password in the variables: HTTPS_PROXY=http://user:password@host:port'
        : 'name hosts that it does not serve in NO_PROXY',
  });
}

/** The status that a proxy refused a tunnel with, where that is what failed. */
export function tunnelStatus(cause: Error): number | undefined {
  const { code, statusCode } = cause as { code?: string; statusCode?: number };
  return code === 'ERR_PROXY_TUNNEL' ? statusCode : undefined;
}

function parseProxy(text: string): URL | undefined {
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  return URL.canParse(withScheme) ? new URL(withScheme) : undefined;
}

function isLoopback(hostname: string): boolean {
  const name = hostname.replace(/^\[|\]$/g, '');
  return isPrivateHost(hostname) && (name === 'localhost' || name === '::1' || name.startsWith('127.'));
}

function isExcluded(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list
    .toLowerCase()
    .split(',')
    .map((entry) => entry.trim())
    .some((entry) => entry !== '' && matches(entry, host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return inNetwork(entry, host);
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry);
  const name = (match?.[1] ?? entry).replace(/^\[|\]$/g, '');
  if (match?.[2] !== undefined && match[2] !== port) return false;
  if (isIP(name)) return name === host;
  if (name.startsWith('*.')) return host.endsWith(name.slice(1));
  return name.startsWith('.') ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
}

function inNetwork(entry: string, host: string): boolean {
  const [network = '', prefix = ''] = entry.split('/');
  const family = isIP(host);
  if (!family || isIP(network) !== family || !/^\d{1,3}$/.test(prefix)) return false;
  if (Number(prefix) > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
  return list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}
