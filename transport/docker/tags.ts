import { tryParseDigest } from '../../image/digest.ts';
import { ImageError } from '../../image/error.ts';
import { type JsonObject, parseJsonObject } from '../../image/json.ts';
import { isTag, type NamedReference } from '../../image/reference.ts';
import type { TransportContext } from '../contract.ts';
import { TransportError } from '../error.ts';
import type { HttpResponse } from './http.ts';
import { pages } from './pages.ts';
import { openPlace, placesOf } from './places.ts';
import { readBody } from './read-body.ts';
import { registryError } from './registry-error.ts';
import type { Repository } from './repository.ts';

const PAGE_LIMIT_BYTES = 32 * 1024 * 1024;
const MAX_TAGS = 2_000_000;

/**
 * All tags of a repository, in the registry's order: of the registry itself, wherever registries.conf says that it is,
 * and where it does not answer of its mirrors.
 * @throws TransportError `not-found`, `unauthorized`, `registry` for malformed tags and endless lists
 */
export async function listRepositoryTags(
  name: NamedReference,
  context: TransportContext,
): Promise<readonly string[]> {
  const { domain, path } = name;
  let failure: { readonly error: unknown } | undefined;
  for (const place of (await placesOf({ domain, path }, context)).toReversed()) {
    try {
      return await listTagsOf(await openPlace(place, name, context));
    } catch (error) {
      context.signal?.throwIfAborted();
      failure ??= { error };
      if (!(error instanceof TransportError) || error.code !== 'network') break;
    }
  }
  throw failure?.error;
}

export async function listTagsOf(repository: Repository): Promise<readonly string[]> {
  const what = `fetching tags list of ${repository.title}`;
  const tags: string[] = [];
  const fetch = (target: string) =>
    repository.send({ method: 'GET', target: target.replace(/^\/v2\/.*?\/tags\//, 'tags/') });
  for await (const response of pages(`/v2/${repository.name.path}/tags/list`, fetch, what)) {
    if (response.status !== 200) throw await registryError(response, what);
    const json = parseList(await readBody(response, PAGE_LIMIT_BYTES, 'tag list'), what);
    for (const tag of Array.isArray(json.tags) ? json.tags : []) {
      // Some registries put null and digests between the tags.
      if (tag === null || tag === '' || (typeof tag === 'string' && tryParseDigest(tag))) continue;
      if (typeof tag !== 'string' || !isTag(tag))
        throw new TransportError(
          'registry',
          `registry returned invalid tag ${JSON.stringify(tag).slice(0, 200)}`,
        );
      tags.push(tag);
    }
    if (tags.length > MAX_TAGS) throw new TransportError('registry', `${what}: more than ${MAX_TAGS} tags`);
  }
  return tags;
}

/**
 * Names of the registry's repositories by its catalog, which many registries do not offer.
 * @throws TransportError `unsupported`, `unauthorized`, `registry`
 */
export async function listCatalog(domain: string, context: TransportContext): Promise<readonly string[]> {
  const { sessionOf } = await import('./access.ts');
  const session = sessionOf(context);
  const name = { domain, path: '' };
  const [client, credentials] = [await session.client(name), await session.credentials(name, context.signal)];
  const what = `listing the repositories of ${domain}`;
  const names: string[] = [];
  const fetch = (target: string): Promise<HttpResponse> =>
    client.request({
      method: 'GET',
      target,
      scopes: [{ type: 'registry', name: 'catalog', actions: '*' }],
      credentials,
      ...(context.signal ? { signal: context.signal } : {}),
    });
  for await (const response of pages('/v2/_catalog', fetch, what)) {
    if (response.status !== 200) throw await registryError(response, what);
    const json = parseList(await readBody(response, PAGE_LIMIT_BYTES, 'catalog'), what);
    for (const entry of Array.isArray(json.repositories) ? json.repositories : [])
      if (typeof entry === 'string') names.push(entry);
    if (names.length > MAX_TAGS) throw new TransportError('registry', `${what}: more than ${MAX_TAGS} names`);
  }
  return names;
}

function parseList(bytes: Uint8Array, what: string): JsonObject {
  try {
    return parseJsonObject(bytes, { what: 'list', limitBytes: PAGE_LIMIT_BYTES });
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause;
    throw new TransportError('registry', `${what}: ${cause.message}`, { cause });
  }
}
