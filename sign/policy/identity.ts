import type { SignedIdentity } from '../../config/policy-types.ts';
import { ImageError } from '../../image/error.ts';
import { formatReference, type NamedReference, parseReference, repositoryOf } from '../../image/reference.ts';

/**
 * Whether a signature that names `signed` is accepted for an image known as `intended` (undefined where its transport
 * has no docker-style name): containers/image signature/policy_reference_match.go. Host, path, tag and digest are
 * compared exactly, with case; no tag is ever assumed.
 */
export function matchesIdentity(
  rule: SignedIdentity,
  intended: NamedReference | undefined,
  signed: string,
): boolean {
  const signature = tryReference(signed);
  if (!signature) return false;
  switch (rule.type) {
    case 'exactReference':
      return isSpecific(rule.reference) && isSpecific(signature) && same(rule.reference, signature);
    case 'exactRepository':
      return repositoryOf(rule.reference) === repositoryOf(signature);
    case 'matchExact':
      return (
        intended !== undefined && isSpecific(intended) && isSpecific(signature) && same(intended, signature)
      );
    case 'matchRepository':
      return intended !== undefined && repositoryOf(intended) === repositoryOf(signature);
    case 'matchRepoDigestOrExact':
      return intended !== undefined && matchesDigestOrExact(intended, signature);
    case 'remapIdentity': {
      const remapped = intended && remap(intended, rule.prefix, rule.signedPrefix);
      return remapped !== undefined && matchesDigestOrExact(remapped, signature);
    }
  }
}

/**
 * With a tag the names must be equal; with a digest alone the repositories, since the manifest was already checked
 * against the reference's digest and the signature's.
 */
function matchesDigestOrExact(intended: NamedReference, signature: NamedReference): boolean {
  if (!isSpecific(signature)) return false;
  if (intended.tag !== undefined) return same(intended, signature);
  return intended.digest !== undefined && repositoryOf(intended) === repositoryOf(signature);
}

/** A prefix ends at a path boundary; a host never matches another port. Undefined when the result is no name. */
function remap(reference: NamedReference, prefix: string, signedPrefix: string): NamedReference | undefined {
  const repository = repositoryOf(reference);
  if (repository !== prefix && !repository.startsWith(`${prefix}/`)) return reference;
  const text = signedPrefix + formatReference(reference).slice(prefix.length);
  const remapped = tryReference(text);
  // A short name would have docker.io filled in: the replaced text must already be the full name.
  return remapped && formatReference(remapped) === text ? remapped : undefined;
}

function isSpecific(reference: NamedReference): boolean {
  return reference.tag !== undefined || reference.digest !== undefined;
}

function same(a: NamedReference, b: NamedReference): boolean {
  return formatReference(a) === formatReference(b);
}

function tryReference(text: string): NamedReference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}
