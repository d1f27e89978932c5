import { type Digest, parseDigest } from './digest.ts';
import { ImageError } from './error.ts';

/**
 * A normalised name in a registry, as Docker's reference package reads it: `alpine` is `docker.io/library/alpine`.
 * A reference may carry a tag and a digest together.
 */
export interface NamedReference {
  /** Host and optional port: `docker.io`, `localhost:5000`. */
  readonly domain: string;
  /** Repository path below the domain: `library/alpine`. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const LIMIT_NAME = 255;

/**
 * Parses a docker-style name and fills in `docker.io` and `library/`; no tag is added ({@link withDefaultTag} does).
 * @throws ImageError `bad-reference`
 */
export function parseReference(text: string): NamedReference {
  if (/^[a-f0-9]{64}$/.test(text))
    throw badReference(text, `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  const { name, tag, digest } = splitTagAndDigest(text);
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  // Unlike Docker, containers/image does not take a first part in capitals for a host.
  const hasDomain = /[.:]/.test(first) || first === 'localhost';
  let domain = hasDomain ? first : 'docker.io';
  let path = hasDomain ? name.slice(slash + 1) : name;
  if (domain === 'index.docker.io') domain = 'docker.io';
  if (domain === 'docker.io' && !path.includes('/')) path = `library/${path}`;
  if (!DOMAIN.test(domain)) throw badReference(text, 'invalid reference format');
  if (!isRepositoryPath(path)) {
    throw badReference(
      text,
      path.toLowerCase() !== path && isRepositoryPath(path.toLowerCase())
        ? 'invalid reference format: repository name must be lowercase'
        : 'invalid reference format',
    );
  }
  if (domain.length + path.length + 1 > LIMIT_NAME)
    throw badReference(text, `repository name must not be more than ${LIMIT_NAME} characters`);
  const reference: { domain: string; path: string; tag?: string; digest?: Digest } = { domain, path };
  if (tag !== undefined) reference.tag = tag;
  if (digest !== undefined) reference.digest = digest;
  return reference;
}

function splitTagAndDigest(text: string): {
  name: string;
  tag: string | undefined;
  digest: Digest | undefined;
} {
  let name = text;
  let digest: Digest | undefined;
  const at = name.indexOf('@');
  if (at >= 0) {
    try {
      digest = parseDigest(name.slice(at + 1));
    } catch (cause) {
      throw badReference(text, 'invalid reference format', cause);
    }
    name = name.slice(0, at);
  }
  let tag: string | undefined;
  const colon = name.lastIndexOf(':');
  if (colon > name.lastIndexOf('/')) {
    tag = name.slice(colon + 1);
    name = name.slice(0, colon);
    if (!TAG.test(tag)) throw badReference(text, 'invalid reference format');
  }
  return { name, tag, digest };
}

/** True for a repository path of the distribution spec: lower-case components joined by `/`. */
export function isRepositoryPath(path: string): boolean {
  return (
    path.length > 0 &&
    path.length <= LIMIT_NAME &&
    path.split('/').every((component) => COMPONENT.test(component))
  );
}

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** `domain/path` without tag and digest. */
export function repositoryOf(reference: NamedReference): string {
  return `${reference.domain}/${reference.path}`;
}

/** The whole normalised form, `domain/path[:tag][@digest]`. */
export function formatReference(reference: NamedReference): string {
  const { tag, digest } = reference;
  return `${repositoryOf(reference)}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** The short form people type: `alpine:3` for `docker.io/library/alpine:3`. */
export function familiarReference(reference: NamedReference): string {
  const short =
    reference.domain !== 'docker.io'
      ? repositoryOf(reference)
      : reference.path.replace(/^library\/(?=[^/]+$)/, '');
  return formatReference(reference).replace(repositoryOf(reference), () => short);
}

/** Adds `:latest` where there is neither tag nor digest. */
export function withDefaultTag(reference: NamedReference): NamedReference {
  return reference.tag === undefined && reference.digest === undefined
    ? { ...reference, tag: 'latest' }
    : reference;
}

/** The same repository with another tag or digest, or with neither. */
export function withSelector(
  reference: NamedReference,
  selector: { readonly tag?: string; readonly digest?: Digest },
): NamedReference {
  return { domain: reference.domain, path: reference.path, ...selector };
}

function badReference(text: string, why: string, cause?: unknown): ImageError {
  return new ImageError('bad-reference', why, {
    cause,
    hint: `the reference is ${JSON.stringify(text.slice(0, 400))}`,
  });
}
