import { proxyFor } from '../../transport/docker/proxy.ts';
import { UsageError } from './error.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The global fetch, through the proxy that the environment names for each URL. */
export function proxiedFetch(environment: Environment): typeof globalThis.fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const proxy = proxyFor(url, environment);
    if (!proxy) return globalThis.fetch(input, init);
    const restore = useProxy(proxy);
    try {
      return await globalThis.fetch(input, init);
    } finally {
      restore();
    }
  };
}

/** Node has no way to give one fetch its proxy, only all of them. */
function useProxy({ href }: URL): () => void {
  const { setGlobalProxyFromEnv } = process.getBuiltinModule('node:http');
  if (typeof setGlobalProxyFromEnv !== 'function')
    throw new UsageError('usage', `Node.js ${process.versions.node} cannot use a proxy here`, {
      hint: 'use Node.js 24.14 or newer, or name the host in NO_PROXY',
    });
  return setGlobalProxyFromEnv({ HTTP_PROXY: href, HTTPS_PROXY: href });
}
