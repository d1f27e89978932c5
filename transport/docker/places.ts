import { findRegistry, type PullSource, pullSources } from '../../config/registries-match.ts';
import type { Digest } from '../../image/digest.ts';
import { type NamedReference, repositoryOf } from '../../image/reference.ts';
import type { TransportContext } from '../contract.ts';
import { sessionOf } from './access.ts';
import { openRepository, type Repository } from './repository.ts';

/**
 * Where registries.conf says that a name is to be read: its mirrors in order, then the registry itself, perhaps at another
 * location.
 * @throws TransportError `blocked`; ConfigError
 */
export async function placesOf(
  name: NamedReference,
  context: TransportContext,
): Promise<readonly PullSource[]> {
  const session = sessionOf(context);
  const registries = await session.registries();
  const rule = findRegistry(registries, repositoryOf(name));
  session.refuseBlocked(rule, registries);
  return pullSources(rule, name);
}

/** One of the places of a name. Credentials of the command line are meant for the registry that was named. */
export function openPlace(
  { reference, insecure }: PullSource,
  name: NamedReference,
  context: TransportContext,
): Promise<Repository> {
  const { docker } = context;
  if (reference.domain === name.domain || !docker)
    return openRepository(reference, context, 'pull', { insecure });
  const { credentials: _credentials, bearerToken: _token, ...rest } = docker;
  const own = docker.credentials || docker.bearerToken ? { ...context, docker: rest } : context;
  return openRepository(reference, own, 'pull', { insecure });
}

/** The digest of an image, by HEAD at the first place that has it; a hint, to be checked where it matters. */
export async function digestInPlaces(
  name: NamedReference,
  context: TransportContext,
): Promise<Digest | undefined> {
  let failure: { readonly error: unknown } | undefined;
  for (const place of await placesOf(name, context)) {
    try {
      const { digest, tag } = place.reference;
      const found = await (await openPlace(place, name, context)).manifestDigest(digest ?? (tag as string));
      if (found !== undefined) return found;
      failure = undefined;
    } catch (error) {
      context.signal?.throwIfAborted();
      failure = { error };
    }
  }
  if (failure) throw failure.error;
  return undefined;
}
