import { TransportError } from '../error.ts';
import type { HttpResponse } from './http.ts';

const MAX_PAGES = 100_000;

/**
 * Follows Link headers (`rel="next"`) page by page. Only path and query of a link are used, so that pages always come
 * from the registry itself; a page that was there before ends in an error, and so does a list that never ends.
 * @param first path and query below the registry's root
 */
export async function* pages(
  first: string,
  fetch: (target: string) => Promise<HttpResponse>,
  what: string,
): AsyncGenerator<HttpResponse> {
  const seen = new Set<string>();
  for (let target: string | undefined = first; target !== undefined; ) {
    if (seen.has(target))
      throw new TransportError('registry', `${what}: the registry's pages go round in circles`);
    if (seen.size >= MAX_PAGES)
      throw new TransportError('registry', `${what}: the registry gives more than ${MAX_PAGES} pages`);
    seen.add(target);
    const response: HttpResponse = await fetch(target);
    // The caller reads the body before it asks for the next page.
    yield response;
    target = nextPage(response, what);
  }
}

function nextPage(response: HttpResponse, what: string): string | undefined {
  for (const header of response.values('link')) {
    const match = /^\s*<([^<>]{1,8192})>\s*(;[^,]{0,1000})?/.exec(header);
    if (!match) continue;
    if (match[2] && /rel\s*=/.test(match[2]) && !/rel\s*=\s*"?next"?/.test(match[2])) continue;
    const text = match[1] as string;
    if (!URL.canParse(text, response.url.href))
      throw new TransportError('registry', `${what}: the registry links to a malformed address`);
    const url = new URL(text, response.url);
    if (url.host !== response.url.host)
      throw new TransportError(
        'registry',
        `${what}: the registry's next page is on another host, ${url.host}`,
      );
    return url.pathname + url.search;
  }
  return undefined;
}
