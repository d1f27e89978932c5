import { type Digest, tryParseDigest } from '../image/digest.ts';
import { isRepositoryPath, isTag } from '../image/reference.ts';
import { ProtocolError } from './error.ts';

/** The end points of distribution-spec 1.1, "Endpoints", and the catalog of Docker's registry. */
export type Route =
  | { readonly kind: 'base' }
  | { readonly kind: 'token' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: Digest }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | {
      readonly kind: 'manifest';
      readonly repository: string;
      readonly tag?: string;
      readonly digest?: Digest;
    }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: Digest };

/**
 * Reads a request path (percent-decoded once). Undefined where there is no such end point.
 * @throws ProtocolError NAME_INVALID, DIGEST_INVALID, TAG_INVALID
 */
export function parseRoute(pathname: string): Route | undefined {
  const path = decodePath(pathname);
  if (path === '/v2/' || path === '/v2') return { kind: 'base' };
  if (path === '/token') return { kind: 'token' };
  if (path === '/v2/_catalog') return { kind: 'catalog' };
  if (!path.startsWith('/v2/')) return undefined;
  const parts = path.slice('/v2/'.length).split('/');
  const [beforeLast, last] = [parts.at(-2), parts.at(-1) ?? ''];
  if (beforeLast === 'tags' && last === 'list')
    return { kind: 'tags', repository: nameOf(parts.slice(0, -2)) };
  if (beforeLast === 'blobs' && last !== 'uploads')
    return { kind: 'blob', repository: nameOf(parts.slice(0, -2)), digest: digestOf(last) };
  if (beforeLast === 'uploads' && parts.at(-3) === 'blobs') {
    const repository = nameOf(parts.slice(0, -3));
    return last === '' ? { kind: 'uploads', repository } : { kind: 'upload', repository, id: last };
  }
  if (beforeLast === 'blobs' && last === 'uploads')
    return { kind: 'uploads', repository: nameOf(parts.slice(0, -2)) };
  if (beforeLast === 'manifests') return manifestRoute(nameOf(parts.slice(0, -2)), last);
  if (beforeLast === 'referrers')
    return { kind: 'referrers', repository: nameOf(parts.slice(0, -2)), digest: digestOf(last) };
  return undefined;
}

function manifestRoute(repository: string, selector: string): Route {
  if (selector.includes(':')) return { kind: 'manifest', repository, digest: digestOf(selector) };
  if (!isTag(selector)) throw new ProtocolError('MANIFEST_INVALID', 'malformed tag', { status: 404 });
  return { kind: 'manifest', repository, tag: selector };
}

function decodePath(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    throw new ProtocolError('NAME_INVALID', 'malformed escape in the path');
  }
}

function nameOf(parts: readonly string[]): string {
  const name = parts.join('/');
  if (!isRepositoryPath(name)) throw new ProtocolError('NAME_INVALID', 'malformed repository name');
  return name;
}

/** Also refuses algorithms that this registry cannot compute. */
export function digestOf(text: string): Digest {
  const digest = tryParseDigest(text);
  if (!digest || !/^sha(?:256|384|512):/.test(digest))
    throw new ProtocolError('DIGEST_INVALID', 'malformed or unsupported digest');
  return digest;
}
