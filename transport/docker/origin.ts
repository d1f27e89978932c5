import { isIPv4, isIPv6 } from 'node:net';
import { TransportError } from '../error.ts';

/** True where credentials given to one URL may be shown to the other: same scheme, host and port. */
export function sameOrigin(a: URL, b: URL): boolean {
  return a.origin === b.origin;
}

/**
 * Whether a hop that a server asks for (a redirect, an upload location, a token realm, a layer's URL) may be made at
 * all: http(s) only, never from https to http, and never from a public server to an address of this machine or of a
 * private network.
 * @throws TransportError `insecure-redirect`
 */
export function checkHop(from: URL, to: URL, what: string): void {
  const refuse = (why: string) =>
    new TransportError('insecure-redirect', `${from.host} sends ${what} to ${redactUrl(to)}: ${why}`, {
      facts: { from: from.origin, to: to.origin },
    });
  if (to.protocol !== 'https:' && to.protocol !== 'http:')
    throw refuse('refused, only http and https are followed');
  if (to.host === from.host && to.protocol === from.protocol) return;
  if (from.protocol === 'https:' && to.protocol === 'http:') throw refuse('refused, it would leave https');
  if (isPrivateHost(to.hostname) && !isPrivateHost(from.hostname))
    throw refuse('refused, a public server must not point into a private network');
}

/** Loopback, link-local, private and unspecified addresses, and names that stand for this machine. */
export function isPrivateHost(hostname: string): boolean {
  const name = hostname
    .replace(/^\[|\]$/g, '')
    .toLowerCase()
    .replace(/%.*$/, '')
    .replace(/\.$/, '');
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  if (isIPv4(name)) return isPrivateV4(name.split('.').map(Number));
  if (!isIPv6(name)) return false;
  const mapped = /^::ffff:(?:([0-9a-f]{1,4}):([0-9a-f]{1,4})|(\d+\.\d+\.\d+\.\d+))$/.exec(name);
  if (mapped?.[3]) return isPrivateV4(mapped[3].split('.').map(Number));
  if (mapped) {
    const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
    return isPrivateV4([high >> 8, high & 255, low >> 8, low & 255]);
  }
  return name === '::' || name === '::1' || /^f[cd]/.test(name) || /^fe[89ab]/.test(name);
}

function isPrivateV4([a = 0, b = 0]: readonly number[]): boolean {
  return (
    a === 0 ||
    a === 10 ||
    a === 127 ||
    (a === 100 && b >= 64 && b < 128) ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168)
  );
}

/** A URL for messages: without user, password and query, which may carry signatures and tokens. */
export function redactUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}${url.search === '' ? '' : '?…'}`;
}
