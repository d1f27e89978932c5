import { isJsonObject, parseJsonObject } from '../../image/json.ts';
import type { TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import { sessionOf } from './access.ts';
import { readBody } from './read-body.ts';
import { registryError } from './registry-error.ts';
import { listCatalog } from './tags.ts';

/** A repository that a search found. */
export interface FoundRepository {
  /** The registry. */
  readonly index: string;
  /** `registry/path`. */
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  readonly official: boolean;
  readonly automated: boolean;
}

const LIMIT_BYTES = 4 * 1024 * 1024;

/**
 * Repositories of one registry that match a term: by the v1 search that docker.io, quay.io and others offer, else by
 * looking through the catalog of the distribution API.
 * @throws TransportError `unsupported` where the registry offers neither
 */
export async function searchRegistry(
  domain: string,
  term: string,
  limit: number,
  context: TransportContext,
): Promise<readonly FoundRepository[]> {
  const answered = term === '' ? undefined : await searchV1(domain, term, limit, context);
  if (answered) return answered;
  const names = (await listCatalog(domain, context)).filter((name) => name.includes(term)).slice(0, limit);
  return names.map((name) => ({
    index: domain,
    name: `${domain}/${name}`,
    description: '',
    stars: 0,
    official: false,
    automated: false,
  }));
}

/** Undefined where the registry does not know the v1 search. */
async function searchV1(
  domain: string,
  term: string,
  limit: number,
  context: TransportContext,
): Promise<readonly FoundRepository[] | undefined> {
  const host = domain === 'docker.io' ? 'index.docker.io' : domain;
  const session = sessionOf(context);
  const name = { domain: host, path: '' };
  const client = await session.client(name);
  const credentials = await session.credentials({ domain, path: '' }, context.signal);
  const query = new URLSearchParams({ q: term.replace(/^library\//, ''), n: String(limit) });
  const response = await client.request({
    method: 'GET',
    target: `/v1/search?${query}`,
    scopes: [],
    credentials,
    ...(context.signal ? { signal: context.signal } : {}),
  });
  const what = `searching ${domain}`;
  if (response.status !== 200) {
    const failure = await registryError(response, what);
    if ([400, 401, 403, 404, 405, 406].includes(response.status)) return undefined;
    throw failure;
  }
  const json = parseJsonObject(await readBody(response, LIMIT_BYTES, 'search result'), {
    what: `search result of ${domain}`,
  });
  if (!Array.isArray(json.results))
    throw new TransportError('registry', `${what}: the answer has no results`);
  return json.results.filter(isJsonObject).map((result) => {
    const path = String(result.name ?? '');
    const full = result.is_official === true && !path.includes('/') ? `library/${path}` : path;
    return {
      index: domain,
      name: `${domain}/${full}`,
      description: String(result.description ?? ''),
      stars: Number(result.star_count ?? 0),
      official: result.is_official === true,
      automated: result.is_automated === true,
    };
  });
}
